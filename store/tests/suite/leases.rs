//! Leases: renewed, run out, taken back.

use anyhow::Context;
use helmr_domain::Duration;
use helmr_domain::placement::Capacity;
use helmr_store::Error;
use helmr_store::worker::{self, Auth, Heartbeat, HeldLease, Register};

use crate::on_both;
use crate::world::{LEASE, Live, World};

fn beat(world: &World, live: &Live) -> Heartbeat {
    Heartbeat {
        at: world.at(),
        worker_id: live.fence.lease.worker_id,
        free: Capacity {
            disk_mib: 100_000,
            ..Capacity::default()
        },
        draining: false,
        leases: vec![HeldLease {
            workspace_id: live.workspace,
            epoch: live.fence.lease.epoch,
        }],
        lease_ttl: LEASE,
    }
}

on_both! {
    async fn a_heartbeat_renews(world) {
        let live = world.live("plain").await?;
        for _ in 0..3 {
            world.advance(Duration::from_secs(60));
            let leases = worker::heartbeat(&world.store, beat(&world, &live)).await?;
            assert_eq!((leases.renewed.len(), leases.lost.len()), (1, 0));
            let reaped = worker::reap_expired_leases(&world.store, world.at(), 10).await?;
            assert!(reaped.is_empty());
        }
    }

    async fn a_lease_that_ran_out_but_was_taken_by_nobody_is_renewed(world) {
        let live = world.live("plain").await?;
        world.advance(LEASE);
        let leases = worker::heartbeat(&world.store, beat(&world, &live)).await?;
        assert_eq!(leases.renewed.len(), 1);
        assert!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.is_empty());
        worker::machine_live(&world.store, world.machine(&live)).await?;
    }

    async fn a_lease_that_was_taken_back_is_lost(world) {
        let live = world.live("plain").await?;
        world.advance(LEASE);
        let reaped = worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(reaped.len(), 1);
        assert_eq!((reaped[0].workspace_id, reaped[0].worker_id), (live.workspace, world.worker));
        let leases = worker::heartbeat(&world.store, beat(&world, &live)).await?;
        assert_eq!((leases.renewed.len(), leases.lost), (0, vec![live.workspace]));
        let refused = worker::machine_live(&world.store, world.machine(&live)).await;
        assert!(matches!(refused, Err(Error::Stale)), "{refused:?}");
        assert!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.is_empty());
    }

    async fn a_draining_worker_gets_nothing_new(world) {
        let live = world.live("plain").await?;
        let mut draining = beat(&world, &live);
        draining.draining = true;
        let leases = worker::heartbeat(&world.store, draining).await?;
        assert_eq!(leases.renewed.len(), 1, "it keeps what it has until it gives it up");
        world.start("plain").await?;
        assert!(world.place().await?.is_empty());
    }

    async fn a_worker_is_known_again_by_its_credential(world) {
        let known = worker::find_by_credential(&world.store, [1; 32]).await?.context("known")?;
        assert_eq!(known.id, world.worker);
        let again = Register {
            at: world.at(),
            auth: Auth::Credential { hash: [1; 32] },
            report: known.report.clone(),
        };
        let again = worker::register(&world.store, again).await?;
        assert_eq!((again.worker.id, again.credential_set), (world.worker, false));
        // With the enrolment token and its id it is given another credential.
        let anew = Register {
            at: world.at(),
            auth: Auth::Enrolment {
                hash: [2; 32],
                worker_id: Some(world.worker),
                credential_hash: [77; 32],
            },
            report: known.report.clone(),
        };
        let anew = worker::register(&world.store, anew).await?;
        assert_eq!((anew.worker.id, anew.credential_set), (world.worker, true));
        assert!(worker::find_by_credential(&world.store, [1; 32]).await?.is_none());
        let stranger = Register {
            at: world.at(),
            auth: Auth::Enrolment {
                hash: [9; 32],
                worker_id: None,
                credential_hash: [10; 32],
            },
            report: known.report,
        };
        let refused = worker::register(&world.store, stranger).await;
        assert!(matches!(refused, Err(Error::NotFound("group"))), "{refused:?}");
        assert_eq!(worker::list(&world.store, world.scope.organization).await?.len(), 1);
    }
}
