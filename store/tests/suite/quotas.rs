//! Quotas refuse new work, and nothing else.

use anyhow::{Context, Result};
use helmr_domain::Refusal;
use helmr_domain::quota::Quota;
use helmr_store::quotas::{self, Change};
use helmr_store::worker::{self, Captured};
use helmr_store::workspaces::{self, Create, End};
use helmr_store::{Error, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{World, fresh};

async fn set(world: &World, change: Change) -> Result<()> {
    quotas::set(&world.store, world.scope, change).await?;
    Ok(())
}

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

fn refused<T>(result: helmr_store::Result<T>) -> Result<(Quota, u64, u64)> {
    match result {
        Err(Error::Refused(Refusal::QuotaExceeded { quota, limit, used })) => {
            Ok((quota, limit, used))
        }
        Err(other) => Err(other.into()),
        Ok(_) => anyhow::bail!("it was let in"),
    }
}

on_both! {
    async fn a_workspace_more_than_there_may_be_is_refused_until_one_is_deleted(world) {
        set(&world, Change { workspaces: Some(Some(2)), ..Change::default() }).await?;
        let first = fresh(workspaces::create(&world.store, create(&world)).await?)?;
        world.start("plain").await?;
        let more = workspaces::create(&world.store, create(&world)).await;
        assert_eq!(refused(more)?, (Quota::Workspaces, 2, 2));
        let more = sessions::start(&world.store, world.start_input("plain").await?).await;
        assert_eq!(refused(more)?, (Quota::Workspaces, 2, 2));
        let end = End { at: world.at(), scope: world.scope, workspace: first.id, force: false };
        workspaces::delete(&world.store, end).await?;
        workspaces::create(&world.store, create(&world)).await?;
        set(&world, Change { workspaces: Some(None), ..Change::default() }).await?;
        workspaces::create(&world.store, create(&world)).await?;
        assert_eq!(quotas::get(&world.store, world.scope).await?.used.workspaces, 3);
    }

    async fn full_of_versions_it_takes_no_new_work_and_keeps_capturing(world) {
        let live = world.live("plain").await?;
        set(&world, Change { version_bytes: Some(Some(1)), ..Change::default() }).await?;
        let capture = |at, version| Captured { at, fence: live.machine_fence(), version, asked: Vec::new() };
        worker::version_captured(&world.store, capture(world.at(), world.version())).await?;
        let more = sessions::start(&world.store, world.start_input("plain").await?).await;
        assert_eq!(refused(more)?, (Quota::VersionBytes, 1, 1));
        worker::version_captured(&world.store, capture(world.at(), world.version())).await?;
        world.token(&live).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await.ok();
        worker::machine_parked(&world.store, world.parked_input(&live, true)).await?;
        let held = quotas::get(&world.store, world.scope).await?;
        assert_eq!((held.used.version_bytes, held.used.machines), (3, 0));
        // What was let in goes on.
        world.wake(&live).await?;
    }

    async fn machines_over_the_quota_wait_their_turn_and_say_why(world) {
        set(&world, Change { machines: Some(Some(1)), ..Change::default() }).await?;
        let first = world.start("plain").await?;
        let second = world.start("plain").await?;
        assert_eq!(world.place().await?.len(), 1);
        let waits = if world.status(first.run.id).await? == "queued" { &first } else { &second };
        let reason = world.run(waits.run.id).await?.placement.context("queued")?.reason;
        assert!(reason.context("a reason")?.contains("quota of 1 machines"));
        assert!(world.place().await?.is_empty());
        set(&world, Change { machines: Some(Some(2)), ..Change::default() }).await?;
        assert_eq!(world.place().await?.len(), 1);
    }

    async fn a_change_leaves_what_it_does_not_name(world) {
        set(&world, Change { workspaces: Some(Some(5)), machines: Some(Some(1)), ..Change::default() }).await?;
        set(&world, Change { machines: Some(None), ..Change::default() }).await?;
        let limits = quotas::get(&world.store, world.scope).await?.limits;
        assert_eq!((limits.workspaces, limits.version_bytes, limits.machines), (Some(5), None, None));
    }
}
