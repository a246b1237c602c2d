//! Placement: who gets a machine, and why not.

use anyhow::{Context, Result};
use helmr_domain::{Duration, RunId};
use helmr_store::worker::{self, PlaceNext, PlacedKind, WaitFor, Want};
use helmr_store::{outbox, sessions};
use serde_json::json;

use crate::on_both;
use crate::world::{LEASE, World, fresh};

async fn reason(world: &World, run: RunId) -> Result<String> {
    let placement = world.run(run).await?.placement.context("unfinished")?;
    placement.reason.context("a reason")
}

on_both! {
    async fn why_a_queued_run_has_no_worker_is_visible(world) {
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        let started = world.start("plain").await?;
        assert!(world.place().await?.is_empty());
        assert_eq!(reason(&world, started.run.id).await?, "no worker is connected");
        worker::connected(&world.store, world.worker, world.at()).await?;
        assert_eq!(world.place().await?.len(), 1);
        let placement = world.run(started.run.id).await?.placement.context("placed")?;
        assert_eq!((placement.state, placement.reason), ("preparing", None));
    }

    async fn a_worker_whose_disk_is_full_gets_no_new_machine(world) {
        let beat = |disk_mib| worker::Heartbeat {
            at: world.at(),
            worker_id: world.worker,
            free: helmr_domain::placement::Capacity { disk_mib, ..Default::default() },
            draining: false,
            leases: Vec::new(),
            lease_ttl: LEASE,
        };
        worker::heartbeat(&world.store, beat(10)).await?;
        let started = world.start("plain").await?;
        assert!(world.place().await?.is_empty());
        assert_eq!(reason(&world, started.run.id).await?, "no worker has room on its disk");
        worker::heartbeat(&world.store, beat(100_000)).await?;
        assert_eq!(world.place().await?.len(), 1);
    }

    async fn a_clock_that_is_set_back_holds_up_no_start_and_no_wake(world) {
        let hour = Duration::from_secs(3_600);
        world.start("plain").await?;
        let back = Duration::from_micros(-hour.as_micros());
        world.advance(back);
        assert_eq!(world.place().await?.len(), 1);
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        world.advance(back);
        world.send(live.session, &json!(1), None).await?;
        assert_eq!(world.place().await?.len(), 1);
    }

    async fn a_worker_that_is_not_heard_of_gets_nothing(world) {
        let started = world.start("plain").await?;
        world.advance(Duration::from_secs(60));
        let input = PlaceNext {
            at: world.at(),
            lease_ttl: LEASE,
            worker_fresh_for: Duration::from_secs(15),
            limit: 10,
        };
        assert!(worker::place_next(&world.store, input).await?.is_empty());
        assert_eq!(reason(&world, started.run.id).await?, "no worker is connected");
    }

    async fn memory_is_reserved_and_idle_machines_make_room(world) {
        let first = world.live("plain").await?;
        let second = world.live("plain").await?;
        // 7,500 MiB do not fit beside 2 x 1,024 of 8,192.
        let large = world.start("large").await?;
        assert!(world.place().await?.is_empty());
        assert_eq!(reason(&world, large.run.id).await?, "no worker has room now");
        let want = |world: &World, live: &crate::world::Live| {
            let (store, workspace) = (world.store.clone(), live.workspace);
            async move {
                let assignment = worker::assignment(&store, workspace).await?;
                Ok::<_, anyhow::Error>(assignment.context("assigned")?.want)
            }
        };
        assert_eq!(want(&world, &first).await?, Want::Live, "it runs");
        world.succeed(&first).await?;
        world.wait(&second, 1, World::messages(None)).await?;
        assert!(world.place().await?.is_empty());
        // The idle one goes, and the waiting one does not stay hot.
        assert_eq!(want(&world, &first).await?, Want::Stop);
        assert_eq!(want(&world, &second).await?, Want::Stop);
        let assignment = world.assignment(&second).await?.context("assigned")?;
        let waiting = assignment.runs[0].waiting.context("waiting")?;
        assert_eq!(waiting.hot_window, Duration::ZERO);
        let stopped = worker::Stopped { at: world.at(), fence: first.machine_fence(), version: None };
        worker::machine_stopped(&world.store, stopped).await?;
        world.park(&second).await?;
        assert_eq!(world.place().await?.len(), 1);
        let parked = world.run(second.run).await?;
        assert_eq!(parked.placement.context("parked")?.state, "parked");
    }

    async fn a_machine_that_was_to_make_room_stays_when_it_is_needed(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        world.start("large").await?;
        world.place().await?;
        assert_eq!(world.assignment(&live).await?.context("assigned")?.want, Want::Stop);
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        input.run.priority = Some(1);
        fresh(sessions::start(&world.store, input).await?)?;
        let placed = world.place().await?;
        assert_eq!(placed[0].kind, PlacedKind::Join);
        assert_eq!(world.assignment(&live).await?.context("assigned")?.want, Want::Live);
    }

    async fn a_run_joins_the_live_machine_of_its_workspace(world) {
        let live = world.live("plain").await?;
        world.deploy("second").await?;
        let mut input = world.start_input("retried").await?;
        input.workspace = Some(live.workspace);
        let started = fresh(sessions::start(&world.store, input).await?)?;
        let placed = world.place().await?;
        assert_eq!(placed[0].kind, PlacedKind::Join);
        assert_eq!(placed[0].epoch, live.fence.lease.epoch);
        let assignment = world.assignment(&live).await?.context("assigned")?;
        assert_eq!(assignment.runs.len(), 2);
        let joined = world.on(&started.run, &placed[0]).await?;
        worker::run_started(&world.store, joined.fence, world.at()).await?;
        // A waiting run beside a running one does not park.
        world.wait(&live, 1, World::messages(None)).await?;
        let busy = worker::machine_parking(&world.store, world.machine(&live)).await;
        assert!(busy.is_err());
        world.succeed(&joined).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
    }

    async fn a_run_that_comes_while_its_machine_is_parked_wakes_it(world) {
        let live = world.live("plain").await?;
        let wait = world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(live.workspace);
        let started = fresh(sessions::start(&world.store, input).await?)?;
        let placed = world.place().await?;
        assert_eq!((placed.len(), placed[0].kind), (1, PlacedKind::Wake));
        let other = world.on(&started.run, &placed[0]).await?;
        worker::machine_live(&world.store, world.machine(&other)).await?;
        // The first one waits on, in a machine that is live for the other.
        assert_eq!(world.status(live.run).await?, "waiting");
        world.send(live.session, &json!(1), None).await?;
        let woken = world.on(&world.run(live.run).await?, &placed[0]).await?;
        world.deliver(&woken, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
    }

    async fn wakes_come_before_starts_and_only_where_the_checkpoint_is(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        let other = world.add_worker(2, 1_024).await?;
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        world.complete(token, &json!(1)).await?;
        assert!(world.place().await?.is_empty());
        assert_eq!(
            reason(&world, live.run).await?,
            "the worker that holds the workspace's checkpoint is not connected"
        );
        worker::disconnected(&world.store, other, world.at()).await?;
        worker::connected(&world.store, world.worker, world.at()).await?;
        let mut early = world.start_input("plain").await?;
        early.run.priority = Some(100);
        sessions::start(&world.store, early).await?;
        let placed = world.place().await?;
        assert_eq!(placed[0].workspace_id, live.workspace);
        assert_eq!(placed.iter().map(|placed| placed.kind).collect::<Vec<_>>(), [PlacedKind::Wake, PlacedKind::Start]);
        assert_ne!(placed[0].materialization_id, placed[1].materialization_id);
    }

    async fn wakes_that_wait_for_a_lost_worker_hold_up_nobody(world) {
        let mut parked = Vec::new();
        for _ in 0..3 {
            let live = world.live("plain").await?;
            let token = world.token(&live).await?;
            world.wait(&live, 1, WaitFor::Token(token)).await?;
            world.park(&live).await?;
            parked.push(token);
        }
        for token in parked {
            world.complete(token, &json!(1)).await?;
        }
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        world.add_worker(2, 8_192).await?;
        let started = world.start("plain").await?;
        let place = || PlaceNext {
            at: world.at(),
            lease_ttl: LEASE,
            worker_fresh_for: Duration::from_secs(1_000),
            limit: 2,
        };
        // Two are looked at in one go, and the ones that cannot be helped move on.
        let mut placed = Vec::new();
        for _ in 0..3 {
            placed.extend(worker::place_next(&world.store, place()).await?);
        }
        assert_eq!(placed.len(), 1);
        assert_eq!(placed[0].workspace_id, started.run.workspace_id);
        // When it is back they come first again.
        world.start("plain").await?;
        worker::connected(&world.store, world.worker, world.at()).await?;
        let placed = worker::place_next(&world.store, place()).await?;
        assert_eq!(placed.iter().map(|placed| placed.kind).collect::<Vec<_>>(), [PlacedKind::Wake; 2]);
    }

    async fn of_two_that_place_at_once_one_places(world) {
        for _ in 0..5 {
            let started = world.start("plain").await?;
            let (one, other) = tokio::join!(world.place(), world.place());
            let placed: Vec<_> = one?.into_iter().chain(other?).collect();
            assert_eq!(placed.len(), 1, "{placed:?}");
            assert_eq!(placed[0].epoch.get(), 1);
            let run = world.run(started.run.id).await?;
            assert_eq!(run.state.dispatch_attempts, 1);
        }
    }

    async fn the_outbox_forgets_what_was_told_unless_it_changed_again(world) {
        let live = world.live("plain").await?;
        let pending = outbox::pending(&world.store, 10).await?;
        assert_eq!(pending.len(), 1);
        let assignment = world.assignment(&live).await?.context("assigned")?;
        assert_eq!(pending[0].mark, assignment.revision);
        world.wait(&live, 1, World::messages(None)).await?;
        outbox::done(&world.store, pending).await?;
        let pending = outbox::pending(&world.store, 10).await?;
        assert_eq!(pending.len(), 1, "it changed while it was told");
        outbox::done(&world.store, pending).await?;
        assert!(outbox::pending(&world.store, 10).await?.is_empty());
        // A worker that connects is told everything.
        worker::connected(&world.store, world.worker, world.at()).await?;
        assert_eq!(outbox::pending(&world.store, 10).await?.len(), 1);
        assert_eq!(worker::assigned_to(&world.store, world.worker).await?, [live.workspace]);
    }

    async fn hints_are_told_after_the_commit(world) {
        use helmr_store::{Hint, Subject};
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, WaitFor::Token(token)).await?;
        let mut hints = world.store.hints();
        world.complete(token, &json!(1)).await?;
        let mut told = Vec::new();
        while let Ok(hint) = hints.try_recv() {
            told.push(hint);
        }
        assert!(told.contains(&Hint::Assignment(live.workspace)), "{told:?}");
        assert!(told.contains(&Hint::Events(Subject::Run(live.run))), "{told:?}");
        // What is refused tells nothing.
        let refused = world.complete(token, &json!(2)).await;
        assert!(refused.is_err() && hints.try_recv().is_err());
    }
}
