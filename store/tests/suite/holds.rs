//! `once` and `on` beside a wait that blocks, waits that are dropped, and records that nobody took.

use anyhow::{Context, Result};
use helmr_domain::Duration;
use helmr_store::worker::{self, DropWait, Finish, Finished, RegisteredWait, WaitFor};
use helmr_store::{Error, runs};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World};

/// Registers what `once` does, or `on` (`hold`).
async fn listen(world: &World, live: &Live, call_no: u64, hold: bool) -> Result<RegisteredWait> {
    let mut input = world.wait_input(live, call_no, World::messages(None));
    input.blocking = false;
    input.hold = hold;
    Ok(worker::register_wait(&world.store, input).await?)
}

async fn drop_wait(
    world: &World,
    live: &Live,
    call_no: u64,
    dropped: u64,
) -> helmr_store::Result<bool> {
    let input = DropWait {
        at: world.at(),
        fence: live.fence,
        call_no,
        dropped,
    };
    worker::drop_wait(&world.store, input).await
}

async fn finish(world: &World, live: &Live, finished: Finished, untaken: &[u64]) -> Result<()> {
    let input = Finish {
        at: world.at(),
        fence: live.fence,
        finished,
        untaken: untaken.to_vec(),
        exit_code: None,
    };
    worker::run_finished(&world.store, input).await?;
    Ok(())
}

const SUCCEEDED: Finished = Finished::Succeeded { output: None };

on_both! {
    async fn once_keeps_its_run_running_beside_a_wait_until_it_is_delivered(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let once = listen(&world, &live, 1, false).await?;
        world.wait(&live, 2, WaitFor::Token(token)).await?;
        assert_eq!(world.status(live.run).await?, "running");
        let assigned = world.assignment(&live).await?.context("assigned")?;
        assert!(assigned.runs[0].waiting.is_none());
        assert!(worker::machine_parking(&world.store, world.machine(&live)).await.is_err());
        // Its clock runs.
        world.advance(Duration::from_secs(30));
        assert!(world.run(live.run).await?.state.active_at(world.now()) >= Duration::from_secs(30));
        world.send(live.session, &json!(1), None).await?;
        assert_eq!(world.status(live.run).await?, "running");
        world.deliver(&live, once.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "waiting");
        // It has been idle from now on, not since it began to wait.
        let assigned = world.assignment(&live).await?.context("assigned")?;
        let since = assigned.runs[0].waiting.context("waiting")?.since;
        assert!(world.now().since(since) < Duration::from_secs(1));
        world.park(&live).await?;
        world.complete(token, &json!("done")).await?;
        let woken = world.wake(&live).await?;
        assert_eq!(world.outcome(&woken).await?["data"], json!("done"));
    }

    async fn what_is_listened_for_while_a_run_waits_makes_it_run_again(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        assert_eq!(world.status(live.run).await?, "waiting");
        listen(&world, &live, 2, false).await?;
        assert_eq!(world.status(live.run).await?, "running");
        world.complete(token, &json!(1)).await?;
        world.deliver(&live, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
        world.wait(&live, 3, World::messages(Some("x"))).await?;
        assert_eq!(world.status(live.run).await?, "running");
        assert!(drop_wait(&world, &live, 4, 2).await?);
        assert_eq!(world.status(live.run).await?, "waiting");
    }

    async fn on_keeps_its_run_running_while_its_handler_is_busy(world) {
        let live = world.live("plain").await?;
        let on = listen(&world, &live, 1, true).await?;
        world.wait(&live, 2, WaitFor::Token(world.token(&live).await?)).await?;
        world.send(live.session, &json!(1), None).await?;
        world.deliver(&live, on.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running", "its handler has the record");
        // The next one is registered before the last one is dropped.
        listen(&world, &live, 3, true).await?;
        assert!(!drop_wait(&world, &live, 4, 1).await?, "it was delivered");
        assert_eq!(world.status(live.run).await?, "running");
        assert!(drop_wait(&world, &live, 5, 3).await?);
        assert_eq!(world.status(live.run).await?, "waiting");
        // Told again, it is the same answer.
        assert!(drop_wait(&world, &live, 5, 3).await?);
        assert!(!drop_wait(&world, &live, 4, 1).await?);
        let unknown = drop_wait(&world, &live, 6, 99).await;
        assert!(matches!(unknown, Err(Error::NotFound("wait"))), "{unknown:?}");
        let events = world.events(live.run).await?;
        assert_eq!(events.iter().filter(|kind| **kind == "run.waiting").count(), 1);
    }

    async fn a_wait_that_is_dropped_takes_no_record(world) {
        let live = world.live("plain").await?;
        listen(&world, &live, 1, false).await?;
        assert!(drop_wait(&world, &live, 2, 1).await?);
        world.send(live.session, &json!("next"), None).await?;
        assert_eq!(world.unread(live.session).await?, [json!("next")]);
        let next = world.wait(&live, 3, World::messages(None)).await?;
        assert!(next.decided);
        // The outcome came first: it stands.
        assert!(!drop_wait(&world, &live, 4, 3).await?);
        assert_eq!(world.outcome(&live).await?["data"]["data"], json!("next"));
    }

    async fn a_blocking_wait_that_is_dropped_lets_its_run_go_on(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        assert!(drop_wait(&world, &live, 2, 1).await?);
        assert_eq!(world.status(live.run).await?, "running");
        let placed = world.assignment(&live).await?.context("assigned")?;
        assert!(placed.runs[0].waiting.is_none());
    }

    async fn a_record_that_a_finished_task_did_not_take_starts_the_next_run(world) {
        let live = world.live("plain").await?;
        for (call_no, data) in [(1, "taken"), (2, "late")] {
            let wait = listen(&world, &live, call_no, false).await?;
            world.send(live.session, &json!(data), None).await?;
            world.deliver(&live, wait.wait_id).await?;
        }
        assert!(world.unread(live.session).await?.is_empty());
        finish(&world, &live, SUCCEEDED, &[2, 77]).await?;
        assert_eq!(world.unread(live.session).await?, [json!("late")]);
        let next = world.session(live.session).await?.active_run.context("the next run")?;
        // Told again, nothing more is given back.
        finish(&world, &live, SUCCEEDED, &[1, 2]).await?;
        assert_eq!(world.unread(live.session).await?, [json!("late")]);
        let again = world.go_live(&world.run(next).await?).await;
        // Its machine lives on, so the next run joins it.
        drop(again);
        assert_eq!(world.run(next).await?.reason, "input");
    }

    async fn a_run_whose_only_record_was_not_taken_has_read_nothing(world) {
        let live = world.live("plain").await?;
        let wait = listen(&world, &live, 1, false).await?;
        world.send(live.session, &json!("late"), None).await?;
        world.deliver(&live, wait.wait_id).await?;
        finish(&world, &live, SUCCEEDED, &[1]).await?;
        assert_eq!(world.unread(live.session).await?, [json!("late")]);
        assert!(world.session(live.session).await?.active_run.is_none());
    }

    async fn a_failed_attempt_leaves_what_it_did_not_take_to_the_next(world) {
        let live = world.live("retried").await?;
        let wait = listen(&world, &live, 1, false).await?;
        world.send(live.session, &json!("for both"), None).await?;
        world.deliver(&live, wait.wait_id).await?;
        let failure = helmr_domain::Failure::new(helmr_domain::FailureKind::TaskError, "m");
        finish(&world, &live, Finished::Failed(failure), &[1]).await?;
        world.advance(Duration::from_secs(1));
        let placed = world.place().await?;
        let again = world.on(&world.run(live.run).await?, &placed[0]).await?;
        worker::run_started(&world.store, again.fence, world.at()).await?;
        let wait = world.wait(&again, 1, World::messages(None)).await?;
        assert!(wait.decided);
        assert_eq!(world.outcome(&again).await?["data"]["data"], json!("for both"));
    }

    async fn what_was_delivered_and_never_told_is_undone_with_its_attempt(world) {
        let live = world.live("plain").await?;
        listen(&world, &live, 1, false).await?;
        world.send(live.session, &json!("on its way"), None).await?;
        // The task has it and says that it did not take it, before the delivery itself is told.
        finish(&world, &live, SUCCEEDED, &[1]).await?;
        assert_eq!(world.unread(live.session).await?, [json!("on its way")]);
        let events = runs::events(&world.store, world.scope, live.run, 0, 100).await?;
        assert!(events.iter().any(|event| event.kind.as_str() == "wait.cancelled"));
    }
}
