//! Workers' reports come again, or too late.

use anyhow::{Context, Result};
use helmr_domain::{Epoch, Refusal};
use helmr_store::Error;
use helmr_store::worker::{
    self, Deliver, Finish, Finished, MachineReport, RunFence, Stopped, WaitFor,
};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World, fresh};

/// The same run as a worker sees it that has lost the lease.
fn stale(live: &Live) -> Live {
    let mut stale = *live;
    stale.fence.lease.epoch = Epoch::new(live.fence.lease.epoch.get() - 1);
    stale
}

fn stopped(world: &World, live: &Live) -> Stopped {
    Stopped {
        at: world.at(),
        fence: live.machine_fence(),
        version: Some(world.version()),
    }
}

async fn everything_is_refused(world: &World, live: &Live) -> Result<()> {
    let store = &world.store;
    let report = || MachineReport {
        at: world.at(),
        fence: live.machine_fence(),
    };
    let wait_id = helmr_domain::WaitId::new(world.now(), [9; 10]);
    let answers = [
        worker::machine_live(store, report()).await,
        worker::machine_parking(store, report()).await,
        worker::machine_unparked(store, report()).await,
        worker::machine_stopping(store, report()).await,
        worker::machine_parked(store, world.parked_input(live, true)).await,
        worker::machine_stopped(store, stopped(world, live)).await,
        worker::version_captured(
            store,
            worker::Captured {
                at: world.at(),
                fence: live.machine_fence(),
                version: world.version(),
                asked: Vec::new(),
            },
        )
        .await,
        worker::machine_failed(
            store,
            worker::Failed {
                at: world.at(),
                fence: live.machine_fence(),
                kind: "machine_died".to_owned(),
                message: "m".to_owned(),
                version: None,
                checkpoint_kept: false,
            },
        )
        .await,
        worker::run_started(store, live.fence, world.at()).await,
        worker::wait_delivered(
            store,
            Deliver {
                at: world.at(),
                fence: live.fence,
                wait_id,
            },
        )
        .await,
        worker::run_finished(
            store,
            Finish {
                at: world.at(),
                fence: live.fence,
                finished: Finished::Stopped,
                untaken: Vec::new(),
                exit_code: None,
            },
        )
        .await
        .map(drop),
        worker::register_wait(store, world.wait_input(live, 99, World::messages(None)))
            .await
            .map(drop),
        worker::answered(store, live.fence, 1).await.map(drop),
        worker::run_input(store, live.fence).await.map(drop),
        worker::find_seed(store, live.fence.lease, "sha256:image", "/workspace")
            .await
            .map(drop),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        assert!(
            matches!(answer, Err(Error::Stale)),
            "report {number}: {answer:?}"
        );
    }
    Ok(())
}

on_both! {
    async fn a_stale_epoch_changes_nothing(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        world.complete(token, &json!(1)).await?;
        let woken = world.wake(&live).await?;
        let before = (world.run(live.run).await?, world.assignment(&woken).await?);
        everything_is_refused(&world, &stale(&woken)).await?;
        let after = (world.run(live.run).await?, world.assignment(&woken).await?);
        assert_eq!(before, after);
    }

    async fn another_worker_with_the_right_epoch_is_refused(world) {
        let mut live = world.live("plain").await?;
        live.fence.lease.worker_id = world.add_worker(2, 100).await?;
        everything_is_refused(&world, &live).await?;
    }

    async fn an_attempt_that_is_over_is_refused(world) {
        let live = world.live("plain").await?;
        let later = RunFence { attempt: 2, ..live.fence };
        // Not stale: that would tell the worker that the machine is another's, with all that runs in it.
        let over = |refused: Option<Error>| {
            assert!(
                matches!(refused, Some(Error::Refused(Refusal::RunNotInState { .. }))),
                "{refused:?}"
            );
        };
        over(worker::run_started(&world.store, later, world.at()).await.err());
        world.succeed(&live).await?;
        let input = world.wait_input(&live, 1, World::messages(None));
        over(worker::register_wait(&world.store, input).await.err());
        over(worker::run_started(&world.store, live.fence, world.at()).await.err());
        over(worker::run_input(&world.store, live.fence).await.err());
    }

    async fn a_machine_whose_park_was_given_up_unheard_stops_all_the_same(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
        // The worker is killed here; the next one adopts a machine that it takes for live.
        let busy = worker::machine_stopping(&world.store, world.machine(&live)).await;
        assert!(matches!(busy, Err(Error::Refused(Refusal::MachineBusy))), "{busy:?}");
        world.succeed(&live).await?;
        worker::machine_stopping(&world.store, world.machine(&live)).await?;
        worker::machine_stopped(&world.store, stopped(&world, &live)).await?;
    }

    async fn an_adopted_machine_that_was_about_to_park_is_live_again(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
        worker::machine_live(&world.store, world.machine(&live)).await?;
        let mut other = world.start_input("plain").await?;
        other.workspace = Some(live.workspace);
        fresh(helmr_store::sessions::start(&world.store, other).await?)?;
        assert_eq!(world.place().await?.len(), 1, "a run may join it");
    }

    async fn repeated_reports_have_one_effect(world) {
        let store = &world.store;
        let started = world.start("plain").await?;
        let placed = world.place().await?;
        let live = world.on(&started.run, &placed[0]).await?;
        for _ in 0..2 {
            worker::machine_live(store, world.machine(&live)).await?;
        }
        for _ in 0..2 {
            worker::run_started(store, live.fence, world.at()).await?;
        }
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        assert_eq!(world.wait(&live, 1, WaitFor::Token(token)).await?, wait);
        for _ in 0..2 {
            worker::machine_parking(store, world.machine(&live)).await?;
        }
        let parked = world.parked_input(&live, false);
        for _ in 0..2 {
            // The first one ends the lease with which the second one comes.
            worker::machine_parked(store, parked.clone()).await?;
        }
        world.complete(token, &json!(1)).await?;
        let woken = world.wake(&live).await?;
        for _ in 0..2 {
            world.deliver(&woken, wait.wait_id).await?;
        }
        assert_eq!(world.status(live.run).await?, "running");
        for _ in 0..2 {
            world.succeed(&woken).await?;
        }
        let end = stopped(&world, &woken);
        for _ in 0..2 {
            worker::machine_stopped(store, end.clone()).await?;
        }
        let mut events = world.events(live.run).await?;
        events.retain(|event| event.starts_with("run."));
        assert_eq!(
            events,
            [
                "run.created", "run.queued", "run.leased", "run.started", "run.waiting",
                "run.parked", "run.resumed", "run.succeeded",
            ]
        );
        let versions =
            helmr_store::workspaces::versions(store, world.scope, live.workspace, None, 10).await?;
        assert_eq!(versions.items.len(), 2);
        assert_eq!(versions.items[0].parent_id, Some(versions.items[1].id));
    }

    async fn the_first_end_told_counts(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        let failure = helmr_domain::Failure::new(helmr_domain::FailureKind::TaskError, "late");
        world.finish(&live, Finished::Failed(failure)).await?;
        assert_eq!(world.status(live.run).await?, "succeeded");
        let run = world.run(live.run).await?;
        assert_eq!((run.exit_code, run.attempt_number), (Some(0), Some(1)));
    }

    async fn a_repeated_failure_report_has_one_effect(world) {
        let live = world.live("plain").await?;
        let failed = worker::Failed {
            at: world.at(),
            fence: live.machine_fence(),
            kind: "out_of_memory".to_owned(),
            message: "the machine ran out of memory".to_owned(),
            version: Some(world.version()),
            checkpoint_kept: false,
        };
        for _ in 0..2 {
            worker::machine_failed(&world.store, failed.clone()).await?;
        }
        let run = world.run(live.run).await?;
        let helmr_domain::run::State::Failed { failure, .. } = &run.state.state else {
            anyhow::bail!("{:?}", run.state);
        };
        assert_eq!(failure.kind, helmr_domain::FailureKind::OutOfMemory);
        assert!(world.assignment(&live).await?.is_none());
    }

    async fn a_wake_that_fails_is_tried_again_and_at_last_given_up(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        world.complete(token, &json!(1)).await?;
        let mut tries = 0;
        loop {
            let placed = world.place().await?;
            let placed = placed.first().context("it is woken again")?;
            let on = world.on(&world.run(live.run).await?, placed).await?;
            let failed = worker::Failed {
                at: world.at(),
                fence: on.machine_fence(),
                kind: "restore_failed".to_owned(),
                message: "no hello".to_owned(),
                version: None,
                checkpoint_kept: true,
            };
            worker::machine_failed(&world.store, failed).await?;
            tries += 1;
            if world.status(live.run).await? == "failed" {
                break;
            }
            assert!(world.place().await?.is_empty(), "not at once");
            world.advance(helmr_domain::Duration::from_secs(10));
            assert!(world.fire().await? > 0, "a timer says when");
        }
        assert_eq!(tries, 5);
        assert!(world.assignment(&live).await?.is_none());
    }

    async fn a_machine_with_a_run_is_not_stopped(world) {
        let live = world.live("plain").await?;
        let refused = worker::machine_stopping(&world.store, world.machine(&live)).await;
        let busy = Error::Refused(helmr_domain::Refusal::MachineBusy).to_string();
        assert_eq!(refused.map_err(|error| error.to_string()), Err(busy.clone()));
        let refused = worker::machine_stopped(&world.store, stopped(&world, &live)).await;
        assert_eq!(refused.map_err(|error| error.to_string()), Err(busy));
        world.succeed(&live).await?;
        worker::machine_stopping(&world.store, world.machine(&live)).await?;
        // What comes now waits for the end and then starts anew, from the files as they were.
        let mut next = world.start_input("plain").await?;
        next.workspace = Some(live.workspace);
        let next = crate::world::fresh(helmr_store::sessions::start(&world.store, next).await?)?;
        assert!(world.place().await?.is_empty());
        let waits = world.run(next.run.id).await?.placement.context("queued")?;
        assert_eq!(waits.reason.as_deref(), Some("the workspace's machine is stopping"));
        let end = stopped(&world, &live);
        worker::machine_stopped(&world.store, end.clone()).await?;
        let again = world.go_live(&next.run).await?;
        assert_ne!(again.machine, live.machine);
        let origin = world.assignment(&again).await?.context("assigned")?.machine.origin;
        let version = end.version.context("captured")?;
        assert_eq!(origin, worker::Origin::Version {
            version_id: version.version_id,
            manifest: version.manifest,
        });
    }
}
