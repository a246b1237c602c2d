//! Which versions are kept, and which manifests are named.

use anyhow::{Context, Result};
use helmr_domain::{Duration, VersionId, WorkspaceId};
use helmr_store::retention::{self, Change, Rule};
use helmr_store::worker::{self, CapturedVersion};
use helmr_store::workspaces::{self, Capture, End};
use helmr_store::{manifests, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World, fresh};

const DAY: Duration = Duration::from_secs(86_400);

/// Tells `count` versions of a live machine's files, a second apart.
async fn captured(world: &World, live: &Live, count: u32) -> Result<Vec<VersionId>> {
    let mut ids = Vec::new();
    for number in 0..count {
        world.advance(Duration::from_secs(1));
        let version = CapturedVersion {
            manifest: format!("files-{number}"),
            ..world.version()
        };
        ids.push(version.version_id);
        let input = worker::Captured {
            at: world.at(),
            fence: live.machine_fence(),
            version,
            asked: Vec::new(),
        };
        worker::version_captured(&world.store, input).await?;
    }
    Ok(ids)
}

/// Ends a run and its machine; nothing changed since the last version.
async fn stopped(world: &World, live: &Live) -> Result<()> {
    world.succeed(live).await?;
    worker::machine_stopping(&world.store, world.machine(live)).await?;
    let input = worker::Stopped {
        at: world.at(),
        fence: live.machine_fence(),
        version: None,
    };
    Ok(worker::machine_stopped(&world.store, input).await?)
}

/// Passes over all workspaces until nothing is left to drop.
async fn pass(world: &World, batch: (u32, u32)) -> Result<u64> {
    let (mut after, mut dropped) = (None, 0);
    for _ in 0..1_000 {
        let passed = retention::drop_expired(&world.store, after, batch, world.at()).await?;
        dropped += passed.dropped;
        if passed.done {
            return Ok(dropped);
        }
        after = passed.up_to;
    }
    anyhow::bail!("it does not come to an end")
}

async fn left(world: &World, id: WorkspaceId) -> Result<Vec<VersionId>> {
    let page = workspaces::versions(&world.store, world.scope, id, None, 1_000).await?;
    Ok(page.items.iter().map(|version| version.id).collect())
}

async fn rule(world: &World, keep_last: u32, keep_for: Duration) -> Result<Rule> {
    let change = Change {
        keep_last: Some(Some(keep_last)),
        keep_for: Some(Some(keep_for)),
    };
    Ok(retention::set_rule(&world.store, world.scope, change).await?)
}

on_both! {
    async fn a_rule_is_the_usual_one_until_it_is_changed(world) {
        let usual = Rule { keep_last: 100, keep_for: Duration::from_secs(30 * 86_400) };
        assert_eq!(retention::rule(&world.store, world.scope).await?, usual);
        let changed = rule(&world, 7, DAY).await?;
        assert_eq!((changed.keep_last, changed.keep_for), (7, DAY));
        let change = Change { keep_last: Some(None), keep_for: None };
        let changed = retention::set_rule(&world.store, world.scope, change).await?;
        assert_eq!((changed.keep_last, changed.keep_for), (100, DAY));
    }

    async fn the_last_few_and_the_young_are_kept_whatever_the_size_of_a_batch(world) {
        let live = world.live("plain").await?;
        let old = captured(&world, &live, 8).await?;
        stopped(&world, &live).await?;
        rule(&world, 3, DAY).await?;
        assert_eq!(pass(&world, (50, 500)).await?, 0, "all are young");
        world.advance(DAY);
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        let again = world.go_live(&fresh(sessions::start(&world.store, input).await?)?.run).await?;
        let young = captured(&world, &again, 1).await?;
        stopped(&world, &again).await?;
        assert_eq!(pass(&world, (1, 2)).await?, 6);
        let mut expected = young;
        expected.extend(old[6..].iter().rev());
        assert_eq!(left(&world, live.workspace).await?, expected);
        assert_eq!(pass(&world, (50, 500)).await?, 0);
    }

    async fn what_people_made_and_what_something_stands_on_is_kept(world) {
        let live = world.live("plain").await?;
        let versions = captured(&world, &live, 3).await?;
        let asked = Capture {
            at: world.at(),
            scope: world.scope,
            workspace: live.workspace,
            message: None,
            found: None,
            idempotency: None,
        };
        let manual = fresh(workspaces::capture(&world.store, asked).await?)?;
        let made = worker::Captured {
            at: world.at(),
            fence: live.machine_fence(),
            version: CapturedVersion { version_id: manual, ..world.version() },
            asked: vec![manual],
        };
        worker::version_captured(&world.store, made).await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let parked = left(&world, live.workspace).await?[0];
        rule(&world, 1, DAY).await?;
        world.advance(Duration::from_secs(10 * 86_400));
        // One more that comes after the checkpoint's: the machine is woken, and lives on.
        world.send(live.session, &json!(1), None).await?;
        let woken = world.wake(&live).await?;
        let newest = captured(&world, &woken, 1).await?;
        world.advance(Duration::from_secs(10 * 86_400));
        assert_eq!(pass(&world, (50, 500)).await?, 4);
        let kept = left(&world, live.workspace).await?;
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&manual) && kept.contains(&newest[0]));
        assert!(!kept.contains(&parked) && !kept.contains(&versions[0]), "its checkpoint was dropped");
    }

    async fn the_version_of_a_parked_machine_is_kept(world) {
        let live = world.live("plain").await?;
        captured(&world, &live, 2).await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let parked = left(&world, live.workspace).await?[0];
        rule(&world, 1, DAY).await?;
        world.advance(Duration::from_secs(10 * 86_400));
        assert_eq!(pass(&world, (50, 500)).await?, 2);
        assert_eq!(left(&world, live.workspace).await?, [parked]);
    }

    async fn nothing_is_kept_of_a_deleted_workspace_once_it_is_old(world) {
        let live = world.live("plain").await?;
        captured(&world, &live, 2).await?;
        stopped(&world, &live).await?;
        let end = End { at: world.at(), scope: world.scope, workspace: live.workspace, force: false };
        workspaces::delete(&world.store, end).await?;
        assert_eq!(pass(&world, (50, 500)).await?, 0);
        world.advance(Duration::from_secs(31 * 86_400));
        assert_eq!(pass(&world, (50, 500)).await?, 2);
        let found = workspaces::get(&world.store, world.scope, live.workspace).await?.context("there")?;
        assert_eq!(found.current_version_id, None);
    }

    async fn everything_that_is_named_is_told_with_its_key(world) {
        let live = world.live("plain").await?;
        captured(&world, &live, 1).await?;
        let seed = worker::PutSeed {
            at: world.at(),
            fence: live.fence.lease,
            image_digest: "sha256:image".to_owned(),
            mount_path: "/workspace".to_owned(),
            manifest: "seed".to_owned(),
            size_bytes: 5,
        };
        worker::put_seed(&world.store, seed).await?;
        let mut named: Vec<_> = manifests::named(&world.store).await?
            .into_iter()
            .map(|named| (named.environment.is_some(), named.manifest))
            .collect();
        named.sort();
        named.dedup();
        let expected = [(false, "manifest:image"), (true, "files-0"), (true, "manifest:bundle"), (true, "seed")];
        assert_eq!(named, expected.map(|(environment, text)| (environment, text.to_owned())));
    }

    async fn rounds_are_remembered_for_a_while(world) {
        for number in 0..3 {
            let at = world.at();
            manifests::begin_sweep(&world.store, at).await?;
            let ended = manifests::Sweep {
                started_at: at.now,
                finished_at: Some(world.now()),
                failure: (number == 1).then(|| "why".to_owned()),
                figures: Some(json!({ "number": number })),
            };
            manifests::end_sweep(&world.store, ended, at.now.before(Duration::from_micros(1_500))).await?;
        }
        let last = manifests::last_sweeps(&world.store, 10).await?;
        let figures: Vec<_> = last.iter().filter_map(|sweep| sweep.figures.clone()).collect();
        assert_eq!(figures, [json!({ "number": 2 }), json!({ "number": 1 })]);
        assert_eq!(last[1].failure.as_deref(), Some("why"));
    }
}

/// A column that names a manifest and is not read would have its chunks swept from under it.
#[test]
fn every_column_that_names_a_manifest_is_known() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("helmr.db");
    drop(helmr_store::Store::open_sqlite(&path)?);
    let found = helmr_store::check::sqlite_columns(&path)?;
    let mut named: Vec<_> = found
        .into_iter()
        .filter(|(_, column)| column.contains("manifest") || column == "spec")
        .collect();
    named.sort();
    let mut known: Vec<_> = manifests::COLUMNS
        .iter()
        .chain(manifests::SPECS)
        .map(|(table, column)| ((*table).to_owned(), (*column).to_owned()))
        .collect();
    known.sort();
    assert_eq!(named, known);
    Ok(())
}
