//! What lies on a worker: what of it may go, and what becomes of files that were lost with it.

use anyhow::{Context, Result};
use helmr_domain::{Duration, WorkspaceId};
use helmr_store::Error;
use helmr_store::worker::{self, Dispensable, Holdings, KeptBeside, Stopped};
use helmr_store::workspaces::{self, End, State, Workspace};

use crate::on_both;
use crate::world::{LEASE, Live, World};

async fn ask(world: &World, live: &Live, newer: bool) -> Result<Dispensable> {
    let holdings = Holdings {
        worker_id: live.fence.lease.worker_id,
        workspaces: vec![(live.workspace, newer)],
        machines: vec![live.machine],
    };
    Ok(worker::dispensable(&world.store, holdings).await?)
}

async fn get(world: &World, id: WorkspaceId) -> Result<Workspace> {
    let found = workspaces::get(&world.store, world.scope, id).await?;
    found.context("the workspace is there")
}

async fn lose(world: &World) -> Result<()> {
    world.advance(Duration::from_micros(LEASE.as_micros() * 2));
    worker::reap_expired_leases(&world.store, world.at(), 10).await?;
    Ok(())
}

fn kept(world: &World, live: &Live) -> KeptBeside {
    KeptBeside {
        at: world.at(),
        worker_id: live.fence.lease.worker_id,
        workspace_id: live.workspace,
        parent: None,
        version: world.version(),
    }
}

on_both! {
    async fn only_what_is_over_may_go(world) {
        let live = world.live("plain").await?;
        assert_eq!(ask(&world, &live, true).await?, Dispensable::default());
        world.succeed(&live).await?;
        worker::machine_stopping(&world.store, world.machine(&live)).await?;
        let stopped = Stopped { at: world.at(), fence: live.machine_fence(), version: Some(world.version()) };
        worker::machine_stopped(&world.store, stopped).await?;
        let found = ask(&world, &live, true).await?;
        assert_eq!((found.over, found.deleted, found.keep_beside), (vec![live.machine], vec![], vec![]));
        let end = End { at: world.at(), scope: world.scope, workspace: live.workspace, force: false };
        workspaces::delete(&world.store, end).await?;
        assert_eq!(ask(&world, &live, false).await?.deleted, [live.workspace]);
    }

    async fn a_parked_machine_is_kept_and_a_dropped_one_is_not(world) {
        let live = world.live("plain").await?;
        world.token(&live).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await.ok();
        worker::machine_parked(&world.store, world.parked_input(&live, true)).await?;
        assert_eq!(ask(&world, &live, false).await?, Dispensable::default());
        let end = End { at: world.at(), scope: world.scope, workspace: live.workspace, force: true };
        workspaces::delete(&world.store, end).await?;
        // Deleted, but its run has its grace in that machine.
        assert_eq!(ask(&world, &live, false).await?, Dispensable::default());
    }

    async fn a_workspace_that_waits_for_its_worker_goes_on_with_the_files_that_it_brings(world) {
        let live = world.live("plain").await?;
        lose(&world).await?;
        assert_eq!(get(&world, live.workspace).await?.state, State::RecoveryRequired);
        assert_eq!(ask(&world, &live, false).await?.keep_beside, []);
        assert_eq!(ask(&world, &live, true).await?.keep_beside, [(live.workspace, world.scope.environment)]);
        let input = kept(&world, &live);
        worker::keep_beside(&world.store, input.clone()).await?;
        worker::keep_beside(&world.store, input.clone()).await?;
        let found = get(&world, live.workspace).await?;
        assert_eq!((found.state, found.current_version_id), (State::Active, Some(input.version.version_id)));
        let all = workspaces::versions(&world.store, world.scope, live.workspace, None, 10).await?;
        assert_eq!(all.items.len(), 1);
        assert!(all.items[0].message.as_deref().is_some_and(|text| text.contains("lost")));
    }

    async fn a_workspace_that_went_on_keeps_them_beside(world) {
        let live = world.live("plain").await?;
        lose(&world).await?;
        workspaces::recover(&world.store, world.scope, live.workspace, world.at()).await?;
        let input = kept(&world, &live);
        worker::keep_beside(&world.store, input.clone()).await?;
        let found = get(&world, live.workspace).await?;
        assert_eq!((found.state, found.current_version_id), (State::Active, None));
        let id = input.version.version_id;
        let version = workspaces::version(&world.store, world.scope, live.workspace, id).await?;
        assert_eq!(version.context("kept")?.kind, "auto");
    }

    async fn another_worker_cannot_bring_files(world) {
        let live = world.live("plain").await?;
        let early = worker::keep_beside(&world.store, kept(&world, &live)).await;
        assert!(matches!(early, Err(Error::Stale)));
        lose(&world).await?;
        let mut input = kept(&world, &live);
        input.worker_id = world.add_worker(7, 1_024).await?;
        assert!(matches!(worker::keep_beside(&world.store, input).await, Err(Error::Stale)));
        let end = End { at: world.at(), scope: world.scope, workspace: live.workspace, force: true };
        workspaces::delete(&world.store, end).await?;
        let late = worker::keep_beside(&world.store, kept(&world, &live)).await;
        assert!(matches!(late, Err(Error::Stale)));
    }
}
