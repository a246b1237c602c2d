//! Workspaces: made, found, changed, stopped, deleted and recovered by people.

use std::sync::Arc;

use anyhow::{Context, Result};
use helmr_domain::{Duration, Refusal, VersionId, WorkspaceId};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::worker::{self, PlacedKind, Want};
use helmr_store::workspaces::{self, Create, End, Filter, State, Update, Workspace};
use helmr_store::{Error, runs, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{LEASE, Live, World, fresh};

fn create(world: &World) -> Create {
    Create {
        at: world.at(),
        scope: world.scope,
        sandbox: "default".to_owned(),
        external_id: None,
        metadata: json!({}),
        tags: Vec::new(),
        auto_stop_after: None,
        idempotency: None,
    }
}

async fn make(world: &World, input: Create) -> Result<Workspace> {
    fresh(workspaces::create(&world.store, input).await?)
}

async fn named(world: &World, external_id: &str) -> Result<Workspace> {
    let mut input = create(world);
    input.external_id = Some(external_id.to_owned());
    make(world, input).await
}

async fn get(world: &World, id: WorkspaceId) -> Result<Workspace> {
    let found = workspaces::get(&world.store, world.scope, id).await?;
    found.context("the workspace is there")
}

/// The state of a workspace's last machine.
async fn machine(world: &World, id: WorkspaceId) -> Result<Option<String>> {
    Ok(get(world, id).await?.machine.map(|machine| machine.state))
}

fn end(world: &World, workspace: WorkspaceId, force: bool) -> End {
    End {
        at: world.at(),
        scope: world.scope,
        workspace,
        force,
    }
}

fn change(world: &World, workspace: WorkspaceId) -> Update {
    Update {
        at: world.at(),
        scope: world.scope,
        workspace,
        external_id: None,
        metadata: None,
        tags: None,
        auto_stop_after: None,
    }
}

async fn list(world: &World, filter: Filter) -> Result<Vec<WorkspaceId>> {
    let page = workspaces::list(&world.store, world.scope, filter, None, 100).await?;
    Ok(page.items.iter().map(|found| found.id).collect())
}

/// Starts `plain` in a workspace and brings it to its first line.
async fn live_in(world: &World, workspace: WorkspaceId) -> Result<Live> {
    let mut input = world.start_input("plain").await?;
    input.workspace = Some(workspace);
    let started = fresh(sessions::start(&world.store, input).await?)?;
    world.go_live(&started.run).await
}

async fn stopped(world: &World, live: &Live) -> helmr_store::Result<()> {
    let version = Some(world.version());
    let input = worker::Stopped {
        at: world.at(),
        fence: live.machine_fence(),
        version,
    };
    worker::machine_stopped(&world.store, input).await
}

async fn materialize(world: &World, id: WorkspaceId) -> Result<Workspace> {
    Ok(workspaces::materialize(&world.store, world.scope, id, world.at()).await?)
}

fn report(world: &World, placed: &worker::Placed) -> worker::MachineReport {
    worker::MachineReport {
        at: world.at(),
        fence: worker::MachineFence {
            lease: worker::Fence {
                worker_id: placed.worker_id,
                workspace_id: placed.workspace_id,
                epoch: placed.epoch,
            },
            materialization_id: placed.materialization_id,
        },
    }
}

/// Who holds a workspace's machine.
async fn placed_now(world: &World, id: WorkspaceId) -> Result<worker::Placed> {
    let assignment = worker::assignment(&world.store, id)
        .await?
        .context("assigned")?;
    Ok(worker::Placed {
        workspace_id: id,
        worker_id: assignment.worker_id,
        epoch: assignment.epoch,
        materialization_id: assignment.machine.materialization_id,
        kind: PlacedKind::Wake,
    })
}

async fn want(world: &World, live: &Live) -> Result<Want> {
    Ok(world.assignment(live).await?.context("assigned")?.want)
}

on_both! {
    async fn a_workspace_is_made_from_a_sandbox_of_the_promoted_deployment(world) {
        let deployment = world.deploy("second").await?;
        let mut input = create(&world);
        input.external_id = Some("repo".to_owned());
        input.metadata = json!({"owner": "ada"});
        input.tags = vec!["a".to_owned(), "a".to_owned()];
        input.auto_stop_after = Some(Duration::from_secs(60));
        let made = make(&world, input).await?;
        assert_eq!(get(&world, made.id).await?, made);
        assert_eq!((made.state, made.sandbox.as_str()), (State::Active, "default"));
        assert_eq!(made.deployment_id, Some(deployment.id));
        assert_eq!((made.mount_path.as_str(), made.machine.as_ref()), ("/workspace", None));
        assert_eq!((made.external_id.as_deref(), &made.metadata), (Some("repo"), &json!({"owner": "ada"})));
        let mut input = create(&world);
        input.sandbox = "other".to_owned();
        let refused = workspaces::create(&world.store, input).await;
        assert!(matches!(refused, Err(Error::NotFound("sandbox"))), "{refused:?}");
        // One that a session makes knows its deployment too.
        let started = world.start("plain").await?;
        let own = get(&world, started.session.workspace_id).await?;
        assert_eq!(own.deployment_id, Some(deployment.id));
    }

    async fn a_repeated_request_makes_no_second_workspace(world) {
        let mut input = create(&world);
        input.external_id = Some("repo".to_owned());
        input.idempotency = Some(Idempotency {
            key: "once".to_owned(),
            request_hash: [7; 32],
            sealed: None,
            answer: Arc::new(|made: &Workspace| json!(made.id)),
        });
        let made = make(&world, input.clone()).await?;
        match workspaces::create(&world.store, input.clone()).await? {
            Kept::Replayed { answer, .. } => assert_eq!(answer, json!(made.id)),
            Kept::Fresh(other) => panic!("{other:?}"),
        }
        if let Some(idempotency) = &mut input.idempotency {
            idempotency.request_hash = [8; 32];
        }
        let refused = workspaces::create(&world.store, input).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::IdempotencyKeyReused))));
        assert_eq!(list(&world, Filter::default()).await?, [made.id]);
    }

    async fn an_external_id_is_one_workspaces_until_that_is_deleted(world) {
        let first = named(&world, "repo").await?;
        let refused = workspaces::create(&world.store, Create {
            external_id: Some("repo".to_owned()),
            ..create(&world)
        }).await;
        let taken = Refusal::ExternalIdTaken { workspace_id: Some(first.id) };
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == taken));
        let other = named(&world, "other").await?;
        let input = Update { external_id: Some(Some("repo".to_owned())), ..change(&world, other.id) };
        let refused = workspaces::update(&world.store, input.clone()).await;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == taken));
        let deleted = workspaces::delete(&world.store, end(&world, first.id, false)).await?;
        assert_eq!(deleted.state, State::Deleted);
        let renamed = workspaces::update(&world.store, input).await?;
        assert_eq!(renamed.external_id.as_deref(), Some("repo"));
        assert_eq!(list(&world, Filter { external_id: Some("repo".to_owned()), ..Filter::default() }).await?, [other.id]);
        let gone = Filter { external_id: Some("repo".to_owned()), state: Some(State::Deleted), ..Filter::default() };
        assert_eq!(list(&world, gone).await?, [first.id]);
    }

    async fn workspaces_are_found_by_tag_state_sandbox_and_external_id(world) {
        let mut ids = Vec::new();
        for (tags, sandbox) in [(vec!["a", "b"], "default"), (vec!["b"], "large"), (vec![], "default")] {
            let mut input = create(&world);
            input.tags = tags.into_iter().map(str::to_owned).collect();
            input.sandbox = sandbox.to_owned();
            ids.push(make(&world, input).await?.id);
        }
        let [first, second, third] = ids[..] else { panic!("{ids:?}") };
        let tagged = |tag: &str| Filter { tag: Some(tag.to_owned()), ..Filter::default() };
        assert_eq!(list(&world, Filter::default()).await?, [third, second, first]);
        assert_eq!(list(&world, tagged("b")).await?, [second, first]);
        let large = Filter { sandbox: Some("large".to_owned()), ..tagged("b") };
        assert_eq!(list(&world, large).await?, [second]);
        let page = workspaces::list(&world.store, world.scope, tagged("b"), None, 1).await?;
        assert_eq!((page.items[0].id, page.next), (second, Some(second)));
        let page = workspaces::list(&world.store, world.scope, tagged("b"), page.next, 1).await?;
        assert_eq!((page.items[0].id, page.next), (first, None));
        workspaces::delete(&world.store, end(&world, second, false)).await?;
        assert_eq!(list(&world, tagged("b")).await?, [first]);
        assert_eq!(list(&world, Filter::default()).await?, [third, first]);
        let deleted = Filter { state: Some(State::Deleted), ..Filter::default() };
        assert_eq!(list(&world, deleted).await?, [second]);
    }

    async fn what_is_noted_about_a_workspace_changes(world) {
        let id = named(&world, "repo").await?.id;
        let input = Update {
            metadata: Some(json!({"n": 1})),
            tags: Some(vec!["x".to_owned()]),
            auto_stop_after: Some(Some(Duration::from_secs(5))),
            ..change(&world, id)
        };
        let changed = workspaces::update(&world.store, input).await?;
        assert_eq!((&changed.metadata, changed.auto_stop_after), (&json!({"n": 1}), Some(Duration::from_secs(5))));
        assert_eq!(changed.external_id.as_deref(), Some("repo"));
        assert_eq!(get(&world, id).await?, changed);
        let tagged = Filter { tag: Some("x".to_owned()), ..Filter::default() };
        assert_eq!(list(&world, tagged.clone()).await?, [id]);
        let input = Update {
            external_id: Some(None),
            tags: Some(Vec::new()),
            auto_stop_after: Some(None),
            ..change(&world, id)
        };
        let changed = workspaces::update(&world.store, input).await?;
        assert_eq!((changed.external_id, changed.auto_stop_after), (None, None));
        assert!(list(&world, tagged).await?.is_empty());
    }

    async fn a_live_machine_is_told_of_another_auto_stop(world) {
        let live = world.live("plain").await?;
        let before = world.assignment(&live).await?.context("assigned")?;
        let input = Update {
            auto_stop_after: Some(Some(Duration::from_secs(1))),
            ..change(&world, live.workspace)
        };
        workspaces::update(&world.store, input).await?;
        let after = world.assignment(&live).await?.context("assigned")?;
        assert_eq!(after.auto_stop_after, Duration::from_secs(1));
        assert!(after.revision > before.revision);
    }

    async fn a_workspace_with_unfinished_runs_is_busy(world) {
        let live = world.live("plain").await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        let queued = fresh(sessions::start(&world.store, input).await?)?.run.id;
        let busy = Refusal::WorkspaceBusy { run_ids: vec![live.run, queued] };
        let refused = workspaces::stop(&world.store, end(&world, live.workspace, false)).await;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == busy));
        let refused = workspaces::delete(&world.store, end(&world, live.workspace, false)).await;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == busy));
        assert_eq!(get(&world, live.workspace).await?.state, State::Active);
        assert_eq!((world.status(live.run).await?, world.status(queued).await?), ("running", "queued"));
    }

    async fn a_machine_without_runs_stops_at_once_when_told(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        assert_eq!(want(&world, &live).await?, Want::Live);
        let told = workspaces::stop(&world.store, end(&world, live.workspace, false)).await?;
        assert!(told.machine.context("live")?.ending);
        assert_eq!(want(&world, &live).await?, Want::Stop);
        // Nothing joins it any more: what starts now is given the next machine.
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        let next = fresh(sessions::start(&world.store, input).await?)?.run;
        assert!(world.place().await?.is_empty());
        assert_eq!(want(&world, &live).await?, Want::Stop);
        worker::machine_stopping(&world.store, world.machine(&live)).await?;
        stopped(&world, &live).await?;
        let found = get(&world, live.workspace).await?;
        assert_eq!(found.machine.context("the last one")?.state, "stopped");
        assert!(found.current_version_id.is_some(), "its files were captured");
        let placed = world.place().await?;
        assert_eq!((placed.len(), placed[0].kind), (1, PlacedKind::Start));
        assert_ne!(placed[0].materialization_id, live.machine);
        assert_eq!(world.status(next.id).await?, "running");
        // Told again, it is that machine that is meant.
        workspaces::stop(&world.store, end(&world, live.workspace, true)).await?;
        assert_eq!(want(&world, &live).await?, Want::Stop);
    }

    async fn a_stop_without_a_machine_changes_nothing(world) {
        let made = named(&world, "repo").await?;
        let told = workspaces::stop(&world.store, end(&world, made.id, false)).await?;
        assert_eq!(told, made);
    }

    async fn a_forced_stop_cancels_the_runs_and_leaves_the_session_open(world) {
        let live = world.live("plain").await?;
        workspaces::stop(&world.store, end(&world, live.workspace, true)).await?;
        let run = world.assignment(&live).await?.context("assigned")?.runs.remove(0);
        let order = run.stop.context("told to stop")?;
        assert_eq!(order.message, "the workspace was stopped");
        world.finish(&live, helmr_store::worker::Finished::Stopped).await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
        assert_eq!(world.session(live.session).await?.state.as_str(), "open");
        stopped(&world, &live).await?;
        assert_eq!(machine(&world, live.workspace).await?.as_deref(), Some("stopped"));
    }

    async fn a_parked_machine_is_woken_for_its_runs_grace_and_then_ends(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let told = workspaces::delete(&world.store, end(&world, live.workspace, true)).await?;
        assert_eq!(told.state, State::Deleted);
        assert_eq!(told.machine.context("parked")?.state, "parked");
        assert_eq!(world.session(live.session).await?.state.as_str(), "cancelled");
        let woken = world.wake(&live).await?;
        assert_eq!(want(&world, &woken).await?, Want::Stop);
        world.finish(&woken, helmr_store::worker::Finished::Stopped).await?;
        stopped(&world, &woken).await?;
        assert_eq!(machine(&world, live.workspace).await?.as_deref(), Some("stopped"));
        assert_eq!(get(&world, live.workspace).await?.state, State::Deleted);
    }

    async fn a_parked_machine_that_never_wakes_is_dropped_when_its_last_run_has_ended(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        workspaces::delete(&world.store, end(&world, live.workspace, true)).await?;
        assert!(world.place().await?.is_empty());
        world.advance(Duration::from_secs(120));
        world.fire().await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
        assert_eq!(machine(&world, live.workspace).await?.as_deref(), Some("stopped"));
        worker::connected(&world.store, world.worker, world.at()).await?;
        assert!(world.place().await?.is_empty(), "its checkpoint is forgotten");
    }

    async fn a_park_that_was_under_way_leaves_no_machine_behind(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        let mut input = world.parked_input(&live, true);
        workspaces::stop(&world.store, end(&world, live.workspace, false)).await?;
        input.at = world.at();
        worker::machine_parked(&world.store, input.clone()).await?;
        assert_eq!(machine(&world, live.workspace).await?.as_deref(), Some("stopped"));
        assert!(world.place().await?.is_empty());
        // Its worker tells it again.
        worker::machine_parked(&world.store, input).await?;
        assert_eq!(machine(&world, live.workspace).await?.as_deref(), Some("stopped"));
    }

    async fn nothing_begins_in_a_deleted_workspace(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        workspaces::delete(&world.store, end(&world, live.workspace, false)).await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        let refused = sessions::start(&world.store, input).await;
        let deleted = Refusal::WorkspaceNotActive { state: "deleted".to_owned() };
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == deleted));
        assert!(world.send(live.session, &json!(1), None).await.is_err());
        let refused = workspaces::update(&world.store, change(&world, live.workspace)).await;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == deleted));
        let refused = workspaces::stop(&world.store, end(&world, live.workspace, false)).await;
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == deleted));
        let again = workspaces::delete(&world.store, end(&world, live.workspace, false)).await?;
        assert_eq!(again.state, State::Deleted);
        assert_eq!(want(&world, &live).await?, Want::Stop);
    }

    async fn a_deleted_workspace_needs_no_recovery(world) {
        let live = world.live("plain").await?;
        workspaces::delete(&world.store, end(&world, live.workspace, true)).await?;
        world.advance(Duration::from_micros(LEASE.as_micros() * 2));
        assert_eq!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.len(), 1);
        let found = get(&world, live.workspace).await?;
        assert_eq!((found.state, found.machine.context("lost")?.state.as_str()), (State::Deleted, "lost"));
        let refused = workspaces::recover(&world.store, world.scope, live.workspace, world.at()).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::WorkspaceNotActive { .. }))));
    }

    async fn a_workspace_goes_on_from_its_last_version_when_told(world) {
        let live = live_in(&world, named(&world, "repo").await?.id).await?;
        world.advance(Duration::from_micros(LEASE.as_micros() * 2));
        worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(get(&world, live.workspace).await?.state, State::RecoveryRequired);
        let stuck = Filter { state: Some(State::RecoveryRequired), ..Filter::default() };
        assert_eq!(list(&world, stuck).await?, [live.workspace]);
        let recovered = workspaces::recover(&world.store, world.scope, live.workspace, world.at()).await?;
        assert_eq!(recovered.state, State::Active);
        assert_eq!(get(&world, live.workspace).await?.state, State::Active);
    }

    async fn a_workspace_in_which_nothing_is_wanted_any_more_is_not_held_up(world) {
        let id = named(&world, "repo").await?.id;
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(id);
        let run = fresh(sessions::start(&world.store, input).await?)?.run.id;
        assert!(world.place().await?.is_empty());
        assert_eq!(get(&world, id).await?.placement_reason.as_deref(), Some("no worker is connected"));
        runs::cancel(&world.store, world.scope, run, None, world.at()).await?;
        assert_eq!(get(&world, id).await?.placement_reason, None);
    }

    async fn a_machine_that_is_asked_for_comes_once_however_many_ask(world) {
        let id = named(&world, "repo").await?.id;
        assert!(world.place().await?.is_empty(), "nobody asked");
        let asked = materialize(&world, id).await?;
        assert!(asked.machine_wanted_at.is_some());
        let again = materialize(&world, id).await?;
        assert_eq!(again.machine_wanted_at, asked.machine_wanted_at);
        let placed = world.place().await?;
        let [one] = placed.as_slice() else { anyhow::bail!("{placed:?}") };
        assert_eq!((one.workspace_id, one.kind), (id, PlacedKind::Start));
        materialize(&world, id).await?;
        assert!(world.place().await?.is_empty(), "it is coming");
        worker::machine_live(&world.store, report(&world, one)).await?;
        let live = get(&world, id).await?;
        assert_eq!(live.machine_wanted_at, None);
        assert_eq!(machine(&world, id).await?.as_deref(), Some("live"));
        let assignment = worker::assignment(&world.store, id).await?.context("assigned")?;
        let stays = assignment.keep_until.context("kept")?.since(world.now());
        assert!(stays > Duration::from_secs(299) && stays <= Duration::from_secs(300), "{stays:?}");
    }

    async fn a_parked_machine_is_woken_when_it_is_asked_for(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        assert!(world.place().await?.is_empty());
        materialize(&world, live.workspace).await?;
        let woken = world.wake(&live).await?;
        assert_eq!(world.status(woken.run).await?, "waiting");
        assert_eq!(get(&world, live.workspace).await?.machine_wanted_at, None);
        // Its worker parks it before it has heard that it is to stay.
        world.park(&woken).await?;
        assert!(get(&world, live.workspace).await?.machine_wanted_at.is_some());
        world.wake(&woken).await?;
        world.advance(Duration::from_secs(301));
        let again = world.on(&world.run(live.run).await?, &placed_now(&world, live.workspace).await?).await?;
        world.park(&again).await?;
        assert!(world.place().await?.is_empty(), "it has stayed as long as it was to");
    }

    async fn a_machine_that_failed_is_not_made_again_unasked(world) {
        let id = named(&world, "repo").await?.id;
        materialize(&world, id).await?;
        let placed = world.place().await?;
        let fence = report(&world, placed.first().context("placed")?).fence;
        let input = worker::Failed {
            at: world.at(),
            fence,
            kind: "image_failed".to_owned(),
            message: "no such image".to_owned(),
            version: None,
            checkpoint_kept: false,
        };
        worker::machine_failed(&world.store, input).await?;
        let found = get(&world, id).await?;
        assert_eq!(found.machine_wanted_at, None);
        assert_eq!(found.machine.context("it was there")?.state, "failed");
        assert!(world.place().await?.is_empty());
        materialize(&world, id).await?;
        assert_eq!(world.place().await?.len(), 1);
    }

    async fn nobody_waits_for_a_machine_that_was_stopped(world) {
        let id = named(&world, "repo").await?.id;
        materialize(&world, id).await?;
        workspaces::stop(&world.store, end(&world, id, false)).await?;
        assert_eq!(get(&world, id).await?.machine_wanted_at, None);
        assert!(world.place().await?.is_empty());
        // While the one before ends, the next one is asked for.
        let live = live_in(&world, id).await?;
        world.succeed(&live).await?;
        workspaces::stop(&world.store, end(&world, id, false)).await?;
        materialize(&world, id).await?;
        assert!(world.place().await?.is_empty());
        stopped(&world, &live).await?;
        assert_eq!(world.place().await?.len(), 1);
    }

    async fn nothing_runs_in_an_archived_workspace_until_it_is_unarchived(world) {
        let live = world.live("plain").await?;
        let refused = workspaces::archive(&world.store, end(&world, live.workspace, false)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::WorkspaceBusy { .. }))), "{refused:?}");
        world.succeed(&live).await?;
        let archived = workspaces::archive(&world.store, end(&world, live.workspace, false)).await?;
        assert_eq!(archived.state, State::Archived);
        let again = workspaces::archive(&world.store, end(&world, live.workspace, false)).await?;
        assert_eq!(again.state, State::Archived);
        assert_eq!(want(&world, &live).await?, Want::Stop);
        stopped(&world, &live).await?;
        let refused = workspaces::materialize(&world.store, world.scope, live.workspace, world.at()).await;
        let not_active = Refusal::WorkspaceNotActive { state: "archived".to_owned() };
        assert!(matches!(refused, Err(Error::Refused(refusal)) if refusal == not_active));
        // Its sessions stay open: what is sent to them waits.
        world.send(live.session, &json!("later"), None).await?;
        assert!(world.place().await?.is_empty());
        let open = workspaces::unarchive(&world.store, world.scope, live.workspace).await?;
        assert_eq!(open.state, State::Active);
        assert_eq!(world.place().await?.len(), 1);
        workspaces::delete(&world.store, end(&world, live.workspace, true)).await?;
        let refused = workspaces::unarchive(&world.store, world.scope, live.workspace).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::WorkspaceNotActive { .. }))));
    }

    async fn versions_are_looked_up_in_their_workspace(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        stopped(&world, &live).await?;
        let found = get(&world, live.workspace).await?;
        let id = found.current_version_id.context("captured")?;
        let version = workspaces::version(&world.store, world.scope, live.workspace, id).await?;
        assert_eq!(version.context("there")?.kind, "auto");
        let other = named(&world, "other").await?.id;
        assert_eq!(workspaces::version(&world.store, world.scope, other, id).await?, None);
        let unknown = VersionId::new(world.now(), [9; 10]);
        assert_eq!(workspaces::version(&world.store, world.scope, live.workspace, unknown).await?, None);
        let page = workspaces::versions(&world.store, world.scope, live.workspace, None, 10).await?;
        assert_eq!(page.items.iter().map(|version| version.id).collect::<Vec<_>>(), [id]);
    }
}
