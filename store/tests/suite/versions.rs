//! Versions that people ask for: captured, restored, imported.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use helmr_domain::{Duration, Refusal, VersionId, WorkspaceId};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::worker::{self, CapturedVersion, Origin, PutSeed, Want};
use helmr_store::workspaces::{
    self, Awaited, Capture, Create, End, Found, Import, Restore, State, Version, Workspace,
};
use helmr_store::{Error, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{LEASE, Live, World, fresh};

async fn get(world: &World, id: WorkspaceId) -> Result<Workspace> {
    let found = workspaces::get(&world.store, world.scope, id).await?;
    found.context("the workspace is there")
}

fn capture(world: &World, workspace: WorkspaceId) -> Capture {
    Capture {
        at: world.at(),
        scope: world.scope,
        workspace,
        message: Some("before the rewrite".to_owned()),
        found: None,
        idempotency: None,
    }
}

fn files(world: &World, manifest: &str) -> CapturedVersion {
    CapturedVersion {
        manifest: manifest.to_owned(),
        ..world.version()
    }
}

async fn asked(world: &World, id: WorkspaceId, version: VersionId) -> Result<Awaited> {
    Ok(workspaces::asked(&world.store, world.scope, id, version).await?)
}

async fn made(world: &World, id: WorkspaceId, version: VersionId) -> Result<Version> {
    match asked(world, id, version).await? {
        Awaited::Made(version) => Ok(version),
        other => bail!("{other:?}"),
    }
}

/// What a live machine's worker is asked to capture.
async fn wanted(world: &World, live: &Live) -> Result<Vec<VersionId>> {
    Ok(world.assignment(live).await?.context("assigned")?.captures)
}

async fn captured(
    world: &World,
    live: &Live,
    version: CapturedVersion,
    asked: &[VersionId],
) -> helmr_store::Result<()> {
    let input = worker::Captured {
        at: world.at(),
        fence: live.machine_fence(),
        version,
        asked: asked.to_vec(),
    };
    worker::version_captured(&world.store, input).await
}

/// Ends the machine of a run that has ended, with files.
async fn stopped(world: &World, live: &Live, manifest: &str) -> Result<VersionId> {
    let version = files(world, manifest);
    let id = version.version_id;
    worker::machine_stopping(&world.store, world.machine(live)).await?;
    let input = worker::Stopped {
        at: world.at(),
        fence: live.machine_fence(),
        version: Some(version),
    };
    worker::machine_stopped(&world.store, input).await?;
    Ok(id)
}

/// A workspace without a machine, on files that are called so.
async fn at_rest(world: &World, manifest: &str) -> Result<(WorkspaceId, VersionId)> {
    let live = world.live("plain").await?;
    world.succeed(&live).await?;
    let version = stopped(world, &live, manifest).await?;
    Ok((live.workspace, version))
}

fn restore(world: &World, workspace: WorkspaceId, version: VersionId, force: bool) -> Restore {
    Restore {
        end: End {
            at: world.at(),
            scope: world.scope,
            workspace,
            force,
        },
        version,
        message: None,
        idempotency: None,
    }
}

fn import(world: &World, workspace: WorkspaceId) -> Import {
    Import {
        at: world.at(),
        scope: world.scope,
        workspace,
        message: None,
        manifest: "imported".to_owned(),
        size_bytes: 7,
        changed_bytes: 7,
        idempotency: None,
    }
}

on_both! {
    async fn a_live_machine_is_asked_and_its_answer_is_one_version_however_often_it_comes(world) {
        let live = world.live("plain").await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        assert_eq!(wanted(&world, &live).await?, [id]);
        assert_eq!(asked(&world, live.workspace, id).await?, Awaited::Pending);
        let version = CapturedVersion { version_id: id, ..files(&world, "now") };
        captured(&world, &live, version.clone(), &[id]).await?;
        captured(&world, &live, version, &[id]).await?;
        let version = made(&world, live.workspace, id).await?;
        assert_eq!((version.kind.as_str(), version.message.as_deref()), ("manual", Some("before the rewrite")));
        assert_eq!((version.manifest.as_str(), version.changed_bytes), ("now", 1));
        assert!(wanted(&world, &live).await?.is_empty());
        let page = workspaces::versions(&world.store, world.scope, live.workspace, None, 10).await?;
        assert_eq!(page.items.len(), 1, "once");
        assert_eq!(get(&world, live.workspace).await?.current_version_id, Some(id));
    }

    async fn one_capture_answers_everyone_who_asked_before_it(world) {
        let live = world.live("plain").await?;
        let one = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        let other = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        let late = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        captured(&world, &live, CapturedVersion { version_id: other, ..files(&world, "now") }, &[one, other]).await?;
        let (one, other) = (made(&world, live.workspace, one).await?, made(&world, live.workspace, other).await?);
        assert_eq!((one.manifest.as_str(), other.manifest.as_str()), ("now", "now"));
        assert_eq!((one.changed_bytes, other.changed_bytes), (1, 0));
        assert_eq!(asked(&world, live.workspace, late).await?, Awaited::Pending);
        assert_eq!(wanted(&world, &live).await?, [late]);
    }

    async fn what_was_asked_of_a_machine_that_parks_or_stops_is_made_of_what_it_leaves(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        let parked = world.parked_input(&live, false);
        worker::machine_parked(&world.store, parked.clone()).await?;
        assert_eq!(made(&world, live.workspace, id).await?.manifest, parked.version.manifest);
        let other = world.live("plain").await?;
        world.succeed(&other).await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, other.workspace)).await?)?;
        stopped(&world, &other, "last").await?;
        let version = made(&world, other.workspace, id).await?;
        assert_eq!((version.manifest.as_str(), version.changed_bytes), ("last", 0));
        assert_eq!(get(&world, other.workspace).await?.current_version_id, Some(id));
    }

    async fn what_was_asked_of_a_machine_that_is_lost_fails(world) {
        let live = world.live("plain").await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        world.advance(Duration::from_micros(LEASE.as_micros() * 2));
        assert_eq!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.len(), 1);
        assert!(matches!(asked(&world, live.workspace, id).await?, Awaited::Failed(_)));
    }

    async fn a_machine_that_dies_and_leaves_its_files_has_made_what_was_asked(world) {
        let live = world.live("plain").await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        let input = worker::Failed {
            at: world.at(),
            fence: live.machine_fence(),
            kind: "machine_died".to_owned(),
            message: "m".to_owned(),
            version: Some(files(&world, "left")),
            checkpoint_kept: false,
        };
        worker::machine_failed(&world.store, input).await?;
        assert_eq!(made(&world, live.workspace, id).await?.manifest, "left");
    }

    async fn files_that_stand_still_are_a_version_at_once(world) {
        let (workspace, last) = at_rest(&world, "rest").await?;
        let before = get(&world, workspace).await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, workspace)).await?)?;
        let version = made(&world, workspace, id).await?;
        assert_eq!((version.manifest.as_str(), version.parent_id), ("rest", Some(last)));
        let after = get(&world, workspace).await?;
        assert_eq!((after.machine, after.epoch), (before.machine, before.epoch), "nothing was woken");
        assert!(world.place().await?.is_empty());
    }

    async fn a_parked_machine_is_captured_as_its_worker_found_it_and_stays_parked(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let asked_blindly = workspaces::capture(&world.store, capture(&world, live.workspace)).await;
        assert!(matches!(asked_blindly, Err(Error::Stale)));
        let epoch = get(&world, live.workspace).await?.epoch;
        let mut input = capture(&world, live.workspace);
        input.found = Some(Found { epoch, version: None });
        let id = fresh(workspaces::capture(&world.store, input).await?)?;
        assert_eq!(made(&world, live.workspace, id).await?.manifest, "manifest:files");
        let mut input = capture(&world, live.workspace);
        input.found = Some(Found { epoch, version: Some(files(&world, "edited")) });
        let id = fresh(workspaces::capture(&world.store, input.clone()).await?)?;
        assert_eq!(made(&world, live.workspace, id).await?.manifest, "edited");
        assert_eq!(get(&world, live.workspace).await?.machine.context("parked")?.state, "parked");
        // Woken and parked again since its worker was asked: what it found is not what is there.
        world.send(live.session, &json!(1), None).await?;
        let woken = world.wake(&live).await?;
        let waited = world.assignment(&woken).await?.context("assigned")?.runs[0].outcomes[0].wait_id;
        world.deliver(&woken, waited).await?;
        world.wait(&woken, 2, World::messages(None)).await?;
        world.park(&woken).await?;
        input.at = world.at();
        assert!(matches!(workspaces::capture(&world.store, input).await, Err(Error::Stale)));
    }

    async fn a_workspace_in_which_nothing_ran_has_the_files_of_its_image_once_they_are_known(world) {
        let input = Create {
            at: world.at(),
            scope: world.scope,
            sandbox: "default".to_owned(),
            external_id: None,
            metadata: json!({}),
            tags: Vec::new(),
            auto_stop_after: None,
            idempotency: None,
        };
        let fresh_one = fresh(workspaces::create(&world.store, input).await?)?.id;
        let refused = workspaces::capture(&world.store, capture(&world, fresh_one)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::WorkspaceEmpty))));
        let live = world.live("plain").await?;
        let seed = PutSeed {
            at: world.at(),
            fence: live.fence.lease,
            image_digest: "sha256:image".to_owned(),
            mount_path: "/workspace".to_owned(),
            manifest: "seed".to_owned(),
            size_bytes: 5,
        };
        worker::put_seed(&world.store, seed).await?;
        let id = fresh(workspaces::capture(&world.store, capture(&world, fresh_one)).await?)?;
        let version = made(&world, fresh_one, id).await?;
        assert_eq!((version.manifest.as_str(), version.parent_id, version.size_bytes), ("seed", None, 5));
    }

    async fn a_key_asks_once(world) {
        let live = world.live("plain").await?;
        let mut input = capture(&world, live.workspace);
        input.idempotency = Some(Idempotency {
            key: "k".to_owned(),
            request_hash: [1; 32],
            sealed: None,
            answer: Arc::new(|id: &VersionId| json!(id)),
        });
        let id = fresh(workspaces::capture(&world.store, input.clone()).await?)?;
        input.at = world.at();
        let again = workspaces::capture(&world.store, input).await?;
        assert_eq!(again, Kept::Replayed { answer: json!(id), sealed: None });
        assert_eq!(wanted(&world, &live).await?, [id]);
    }

    async fn a_restored_workspace_stands_on_its_old_files_as_a_new_version(world) {
        let (workspace, first) = at_rest(&world, "first").await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(workspace);
        let live = world.go_live(&fresh(sessions::start(&world.store, input).await?)?.run).await?;
        world.succeed(&live).await?;
        stopped(&world, &live, "second").await?;
        let restored = fresh(workspaces::restore(&world.store, restore(&world, workspace, first, false)).await?)?;
        let version = restored.version;
        assert_eq!((version.kind.as_str(), version.manifest.as_str()), ("restore", "first"));
        assert_eq!(restored.workspace.current_version_id, Some(version.id));
        let page = workspaces::versions(&world.store, world.scope, workspace, None, 10).await?;
        assert_eq!(page.items.len(), 3, "nothing is lost");
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(workspace);
        let next = world.go_live(&fresh(sessions::start(&world.store, input).await?)?.run).await?;
        let origin = world.assignment(&next).await?.context("assigned")?.machine.origin;
        assert_eq!(origin, Origin::Version { version_id: version.id, manifest: "first".to_owned() });
        let unknown = VersionId::new(world.now(), [9; 10]);
        let refused = workspaces::restore(&world.store, restore(&world, workspace, unknown, true)).await;
        assert!(matches!(refused, Err(Error::NotFound("version"))));
    }

    async fn a_restore_is_refused_while_runs_have_not_ended_unless_forced(world) {
        let (workspace, first) = at_rest(&world, "first").await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(workspace);
        let live = world.go_live(&fresh(sessions::start(&world.store, input).await?)?.run).await?;
        let asked_for = fresh(workspaces::capture(&world.store, capture(&world, workspace)).await?)?;
        let refused = workspaces::restore(&world.store, restore(&world, workspace, first, false)).await;
        let busy = Refusal::WorkspaceBusy { run_ids: vec![live.run] };
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == busy));
        let restored = fresh(workspaces::restore(&world.store, restore(&world, workspace, first, true)).await?)?;
        assert!(matches!(asked(&world, workspace, asked_for).await?, Awaited::Failed(_)));
        let told = world.assignment(&live).await?.context("assigned")?;
        assert_eq!((told.want, told.runs[0].stop.is_some()), (Want::Stop, true));
        // What the machine leaves is kept beside.
        world.finish(&live, worker::Finished::Stopped).await?;
        captured(&world, &live, files(&world, "at the end"), &[]).await?;
        let last = stopped(&world, &live, "after the end").await?;
        let found = get(&world, workspace).await?;
        assert_eq!(found.current_version_id, Some(restored.version.id));
        assert_eq!((found.size_bytes, found.state), (restored.version.size_bytes, State::Active));
        let beside = workspaces::version(&world.store, world.scope, workspace, last).await?.context("kept")?;
        assert_eq!((beside.kind.as_str(), beside.parent_id), ("auto", Some(first)));
    }

    async fn a_worker_that_is_lost_while_its_machine_gives_way_loses_nothing_that_counts(world) {
        let (workspace, first) = at_rest(&world, "first").await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(workspace);
        let live = world.go_live(&fresh(sessions::start(&world.store, input).await?)?.run).await?;
        world.succeed(&live).await?;
        workspaces::restore(&world.store, restore(&world, workspace, first, false)).await?;
        world.advance(Duration::from_micros(LEASE.as_micros() * 2));
        worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(get(&world, workspace).await?.state, State::Active);
    }

    async fn a_parked_machine_gives_way_to_a_restore_and_a_capture_then_is_of_the_restored_files(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let parked = get(&world, live.workspace).await?.current_version_id.context("parked")?;
        let restored = fresh(workspaces::restore(&world.store, restore(&world, live.workspace, parked, true)).await?)?;
        assert_eq!(restored.workspace.machine.context("for its grace")?.state, "parked");
        let id = fresh(workspaces::capture(&world.store, capture(&world, live.workspace)).await?)?;
        assert_eq!(made(&world, live.workspace, id).await?.parent_id, Some(restored.version.id));
        // It is woken on the files that it has open, not on those that were restored.
        let placed = world.place().await?;
        let woken = world.on(&world.run(live.run).await?, &placed[0]).await?;
        let origin = world.assignment(&woken).await?.context("assigned")?.machine.origin;
        assert!(matches!(origin, Origin::Checkpoint { version_id, .. } if version_id == parked), "{origin:?}");
        worker::machine_live(&world.store, world.machine(&woken)).await?;
        world.finish(&woken, worker::Finished::Stopped).await?;
        stopped(&world, &woken, "woken for its grace").await?;
        assert_eq!(get(&world, live.workspace).await?.current_version_id, Some(id));
    }

    async fn files_are_taken_into_a_workspace_without_a_machine_only(world) {
        let (workspace, last) = at_rest(&world, "first").await?;
        let imported = fresh(workspaces::import(&world.store, import(&world, workspace)).await?)?;
        assert_eq!((imported.version.kind.as_str(), imported.version.manifest.as_str()), ("manual", "imported"));
        assert_eq!((imported.version.parent_id, imported.workspace.size_bytes), (Some(last), 7));
        let live = world.live("plain").await?;
        let refused = workspaces::import(&world.store, import(&world, live.workspace)).await;
        let running = Refusal::WorkspaceNotStopped { state: "live".to_owned() };
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == running));
    }
}
