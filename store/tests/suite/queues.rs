//! Queues: how many runs of one name and key go on at once, and whose turn it is.

use anyhow::{Context, Result};
use helmr_domain::{Duration, Refusal, RunId};
use helmr_store::sessions::{self, Started};
use helmr_store::worker::{self, PlacedKind};
use helmr_store::{Error, Store, runs};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World, fresh};

async fn start(world: &World, key: Option<&str>, priority: Option<i64>) -> Result<Started> {
    let mut input = world.start_input("serial").await?;
    input.run.concurrency_key = key.map(str::to_owned);
    input.run.priority = priority;
    fresh(sessions::start(&world.store, input).await?)
}

async fn running(world: &World) -> Result<Vec<RunId>> {
    let filter = runs::Filter {
        status: Some(helmr_domain::run::Status::Running),
        ..runs::Filter::default()
    };
    let page = runs::list(&world.store, world.scope, filter, None, 100).await?;
    Ok(page.items.iter().map(|run| run.id).collect())
}

on_both! {
    async fn a_queue_runs_no_more_at_once_than_its_limit(world) {
        let first = start(&world, None, None).await?;
        let second = start(&world, None, None).await?;
        assert_eq!(world.place().await?.len(), 1);
        assert_eq!(running(&world).await?, [first.run.id]);
        let waiting = world.run(second.run.id).await?;
        let placement = waiting.placement.context("queued")?;
        assert_eq!(placement.reason.as_deref(), Some("queue `deploys` is at its limit of 1"));
        let queue = waiting.queue.context("in a queue")?;
        assert_eq!((queue.name.as_str(), queue.concurrency_limit), ("deploys", Some(1)));
        runs::cancel(&world.store, world.scope, first.run.id, None, world.at()).await?;
        world.place().await?;
        assert_eq!(running(&world).await?, [second.run.id]);
    }

    async fn each_key_is_counted_apart(world) {
        let first = start(&world, Some("a"), None).await?;
        let other = start(&world, Some("b"), None).await?;
        let second = start(&world, Some("a"), None).await?;
        world.place().await?;
        assert_eq!(running(&world).await?, [other.run.id, first.run.id]);
        let reason = world.run(second.run.id).await?.placement.and_then(|at| at.reason);
        assert_eq!(reason.as_deref(), Some("queue `deploys` is at its limit of 1 for `a`"));
    }

    async fn a_run_that_waits_frees_its_place_and_goes_on_without_one(world) {
        let first = start(&world, None, None).await?;
        let live = world.go_live(&first.run).await?;
        let second = start(&world, None, None).await?;
        assert!(world.place().await?.is_empty());
        let wait = world.wait(&live, 1, World::messages(None)).await?;
        world.go_live(&second.run).await?;
        world.send(live.session, &json!(1), None).await?;
        world.deliver(&live, wait.wait_id).await?;
        let both = running(&world).await?;
        assert_eq!(both, [second.run.id, first.run.id], "beyond the limit, as it resumed");
        // Both count.
        let third = start(&world, None, None).await?;
        world.succeed(&live).await?;
        assert!(world.place().await?.is_empty());
        assert_eq!(world.status(third.run.id).await?, "queued");
    }

    async fn a_parked_run_does_not_count_and_a_moving_one_does(world) {
        let first = start(&world, None, None).await?;
        let live = world.go_live(&first.run).await?;
        worker::machine_parked(&world.store, world.parked_input(&live, true)).await?;
        assert_eq!(world.status(live.run).await?, "running");
        let second = start(&world, None, None).await?;
        let woken = world.wake(&live).await?;
        assert_eq!(world.status(second.run.id).await?, "queued");
        world.wait(&woken, 1, World::messages(None)).await?;
        world.park(&woken).await?;
        world.place().await?;
        assert_eq!(world.status(second.run.id).await?, "running");
    }

    async fn higher_priority_goes_first_and_then_whoever_came_first(world) {
        let mut expected = Vec::new();
        for priority in [None, Some(5), Some(5), Some(-1)] {
            expected.push(start(&world, None, priority).await?.run.id);
        }
        expected.swap(0, 2);
        expected.swap(0, 1);
        let mut order = Vec::new();
        for _ in 0..4 {
            assert_eq!(world.place().await?.len(), 1);
            let now = running(&world).await?;
            order.extend(now.clone());
            for run in now {
                runs::cancel(&world.store, world.scope, run, None, world.at()).await?;
            }
        }
        assert_eq!(order, expected);
    }

    async fn a_machine_is_not_kept_for_a_run_whose_turn_it_is_not(world) {
        // A live machine in which a run of the queue has ended.
        let first = start(&world, None, None).await?;
        let live = world.go_live(&first.run).await?;
        world.succeed(&live).await?;
        // Another workspace's run is before the next one of its own, and there is no room for it elsewhere.
        let before = start(&world, None, None).await?;
        let mut input = world.start_input("serial").await?;
        input.workspace = Some(live.workspace);
        let after = fresh(sessions::start(&world.store, input).await?)?;
        let report = worker::MachineReport { at: world.at(), fence: live.machine_fence() };
        worker::machine_stopping(&world.store, report).await?;
        assert_eq!(world.status(after.run.id).await?, "queued");
        world.go_live(&before.run).await?;
        assert_eq!(running(&world).await?, [before.run.id]);
    }

    async fn a_machine_is_kept_for_a_run_whose_turn_it_is(world) {
        let first = start(&world, None, None).await?;
        let live = world.go_live(&first.run).await?;
        world.succeed(&live).await?;
        let mut input = world.start_input("serial").await?;
        input.workspace = Some(live.workspace);
        let next = fresh(sessions::start(&world.store, input).await?)?;
        let report = worker::MachineReport { at: world.at(), fence: live.machine_fence() };
        let busy = worker::machine_stopping(&world.store, report).await;
        assert!(matches!(busy, Err(Error::Refused(Refusal::MachineBusy))), "{busy:?}");
        assert_eq!(world.place().await?[0].kind, PlacedKind::Join);
        assert_eq!(running(&world).await?, [next.run.id]);
    }

    async fn a_queue_at_its_limit_holds_up_nobody(world) {
        let mut held = Vec::new();
        for _ in 0..12 {
            held.push(start(&world, None, Some(100)).await?.run.id);
        }
        let free = world.start("plain").await?;
        let input = worker::PlaceNext {
            at: world.at(),
            lease_ttl: crate::world::LEASE,
            worker_fresh_for: Duration::from_secs(1_000_000),
            limit: 2,
        };
        let placed = worker::place_next(&world.store, input).await?;
        assert_eq!(placed.len(), 2, "the queue's first, and the one without a queue");
        let mut now = running(&world).await?;
        now.sort();
        assert_eq!(now, [held[0], free.run.id]);
    }

    async fn two_that_place_at_once_stay_within_the_limit(world) {
        for _ in 0..4 {
            start(&world, None, None).await?;
        }
        let place = |store: Store, at| async move {
            let input = worker::PlaceNext {
                at,
                lease_ttl: crate::world::LEASE,
                worker_fresh_for: Duration::from_secs(1_000_000),
                limit: 100,
            };
            worker::place_next(&store, input).await
        };
        let (one, other) = tokio::join!(
            place(world.store.clone(), world.at()),
            place(world.store.clone(), world.at())
        );
        assert_eq!(one?.len() + other?.len(), 1);
        assert_eq!(running(&world).await?.len(), 1);
    }

    async fn a_queued_run_does_not_join_a_machine_beyond_the_limit(world) {
        let first = start(&world, None, None).await?;
        let live: Live = world.go_live(&first.run).await?;
        let mut input = world.start_input("serial").await?;
        input.workspace = Some(live.workspace);
        let beside = fresh(sessions::start(&world.store, input).await?)?;
        assert!(world.place().await?.is_empty());
        // Nor does it keep the machine from parking.
        world.wait(&live, 1, World::messages(None)).await?;
        let placed = world.place().await?;
        assert_eq!(placed[0].kind, PlacedKind::Join);
        assert_eq!(world.status(beside.run.id).await?, "running");
    }
}
