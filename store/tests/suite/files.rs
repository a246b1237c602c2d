//! Files changed by people: where they are, and what is kept of them whatever becomes of the machine.

use anyhow::{Context, Result};
use helmr_domain::{Refusal, VersionId, WorkspaceId};
use helmr_store::worker::{self, Captured, CapturedVersion, Origin, PlacedKind, Want};
use helmr_store::workspaces::{self, CommitEdit, End, Place, State};
use helmr_store::{Error, sessions};

use crate::on_both;
use crate::world::{LEASE, Live, World};

async fn begin(world: &World, workspace: WorkspaceId) -> helmr_store::Result<Place> {
    let (store, at) = (&world.store, world.at());
    let files = workspaces::begin_change(store, world.scope, workspace, at).await?;
    Ok(files.place)
}

async fn locate(world: &World, workspace: WorkspaceId) -> Result<Place> {
    let files = workspaces::locate(&world.store, world.scope, workspace).await?;
    assert_eq!(files.mount_path, "/workspace");
    Ok(files.place)
}

async fn found(world: &World, workspace: WorkspaceId) -> Result<workspaces::Workspace> {
    let found = workspaces::get(&world.store, world.scope, workspace).await?;
    found.context("the workspace is there")
}

async fn state(world: &World, workspace: WorkspaceId) -> Result<String> {
    let machine = found(world, workspace).await?.machine;
    Ok(machine.context("it has a machine")?.state)
}

/// A machine that parked without a run in it.
async fn parked_alone(world: &World) -> Result<Live> {
    let live = world.live("plain").await?;
    world.succeed(&live).await?;
    world.park(&live).await?;
    Ok(live)
}

fn named(world: &World, manifest: &str) -> CapturedVersion {
    CapturedVersion {
        manifest: manifest.to_owned(),
        ..world.version()
    }
}

async fn stop(world: &World, live: &Live) -> Result<()> {
    let input = End {
        at: world.at(),
        scope: world.scope,
        workspace: live.workspace,
        force: false,
    };
    workspaces::stop(&world.store, input).await?;
    Ok(())
}

async fn commit(
    world: &World,
    workspace: WorkspaceId,
    base: Option<VersionId>,
) -> helmr_store::Result<bool> {
    let input = CommitEdit {
        at: world.at(),
        scope: world.scope,
        workspace,
        base,
        version: named(world, "manifest:edited"),
    };
    workspaces::commit_edit(&world.store, input).await
}

/// A parked machine whose worker is lost when it is to be woken: what was written since the park may be there alone.
async fn lost_while_it_wakes(world: &World, changed: bool) -> Result<WorkspaceId> {
    let live = parked_alone(world).await?;
    if changed {
        begin(world, live.workspace).await?;
    }
    let mut input = world.start_input("plain").await?;
    input.workspace = Some(live.workspace);
    sessions::start(&world.store, input).await?;
    assert_eq!(world.place().await?[0].kind, PlacedKind::Wake);
    world.advance(LEASE);
    let reaped = worker::reap_expired_leases(&world.store, world.at(), 10).await?;
    assert_eq!(reaped.len(), 1);
    Ok(live.workspace)
}

on_both! {
    async fn files_are_where_the_machine_is_and_in_the_version_without_one(world) {
        let live = world.live("plain").await?;
        let on_worker = |parked, manifest: Option<&str>| Place::Machine {
            manifest: manifest.map(str::to_owned),
            worker: live.fence.lease.worker_id,
            machine: live.machine,
            parked,
        };
        assert_eq!(locate(&world, live.workspace).await?, on_worker(false, None));
        world.succeed(&live).await?;
        world.park(&live).await?;
        assert_eq!(locate(&world, live.workspace).await?, on_worker(true, Some("manifest:files")));
        stop(&world, &live).await?;
        let version = found(&world, live.workspace).await?.current_version_id;
        let Place::Version { id, manifest } = locate(&world, live.workspace).await? else {
            anyhow::bail!("there is no machine");
        };
        assert_eq!((Some(id), manifest.as_str()), (version, "manifest:files"));
    }

    async fn a_machine_whose_files_were_changed_by_hand_needs_recovery_when_it_is_lost(world) {
        let workspace = lost_while_it_wakes(&world, true).await?;
        assert_eq!(found(&world, workspace).await?.state, State::RecoveryRequired);
        let refused = begin(&world, workspace).await;
        let state = "recovery_required".to_owned();
        let expected = Refusal::WorkspaceNotActive { state };
        assert!(matches!(refused, Err(Error::Refused(found)) if found == expected));
        locate(&world, workspace).await?;
    }

    async fn a_machine_whose_files_nobody_changed_needs_none(world) {
        let workspace = lost_while_it_wakes(&world, false).await?;
        assert_eq!(found(&world, workspace).await?.state, State::Active);
    }

    async fn a_parked_machine_whose_files_were_written_is_woken_for_its_end(world) {
        let live = parked_alone(&world).await?;
        begin(&world, live.workspace).await?;
        stop(&world, &live).await?;
        assert_eq!(state(&world, live.workspace).await?, "parked");
        let placed = world.place().await?;
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].kind, PlacedKind::Wake);
        let assigned = world.assignment(&live).await?.context("assigned")?;
        assert_eq!(assigned.want, Want::Stop);
        // The worker tells what was written, and that is what the machine is restored on from then on.
        let mut fence = live.machine_fence();
        fence.lease.epoch = placed[0].epoch;
        let version = named(&world, "manifest:written");
        let captured = Captured { at: world.at(), fence, version: version.clone(), asked: Vec::new() };
        worker::version_captured(&world.store, captured).await?;
        let assigned = world.assignment(&live).await?.context("assigned")?;
        let Origin::Checkpoint { version_id, manifest, .. } = assigned.machine.origin else {
            anyhow::bail!("{:?}", assigned.machine.origin);
        };
        assert_eq!((version_id, manifest.as_str()), (version.version_id, "manifest:written"));
        // A wake that fails loses nothing any more: the machine is dropped.
        let failed = worker::Failed {
            at: world.at(),
            fence,
            kind: "restore_failed".to_owned(),
            message: "no".to_owned(),
            version: None,
            checkpoint_kept: true,
        };
        worker::machine_failed(&world.store, failed).await?;
        assert_ne!(state(&world, live.workspace).await?, "parked");
        let current = found(&world, live.workspace).await?.current_version_id;
        assert_eq!(current, Some(version.version_id));
    }

    async fn a_parked_machine_that_nobody_wrote_to_is_dropped_at_once(world) {
        let live = parked_alone(&world).await?;
        stop(&world, &live).await?;
        assert_eq!(state(&world, live.workspace).await?, "stopped");
        assert!(world.place().await?.is_empty());
    }

    async fn an_edit_is_a_version_if_nothing_came_between(world) {
        let live = parked_alone(&world).await?;
        let base = found(&world, live.workspace).await?.current_version_id;
        assert!(!commit(&world, live.workspace, base).await?, "a machine has the files");
        stop(&world, &live).await?;
        assert!(!commit(&world, live.workspace, None).await?, "another version is current");
        assert!(commit(&world, live.workspace, base).await?);
        assert!(!commit(&world, live.workspace, base).await?, "somebody was faster");
        let now = found(&world, live.workspace).await?;
        let version = now.current_version_id.context("a version")?;
        let version = workspaces::version(&world.store, world.scope, live.workspace, version).await?;
        let version = version.context("a version")?;
        assert_eq!((version.parent_id, version.manifest.as_str()), (base, "manifest:edited"));
    }
}
