//! Waits, from registration to delivery.

use anyhow::{Context, Result};
use helmr_domain::timer::Clock;
use helmr_domain::{Duration, Refusal};
use helmr_store::worker::{self, Finished, WaitFor};
use helmr_store::{Error, tokens};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World};

/// How often something happened to a run.
async fn count(world: &World, live: &Live, kind: &str) -> Result<usize> {
    let events = world.events(live.run).await?;
    Ok(events.iter().filter(|event| **event == kind).count())
}

on_both! {
    /// The whole life of an agent that parks.
    async fn a_parked_run_goes_on_when_its_token_is_completed(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        assert!(!wait.decided);
        assert_eq!(world.status(live.run).await?, "waiting");

        world.park(&live).await?;
        assert!(world.assignment(&live).await?.is_none());
        assert!(world.place().await?.is_empty(), "nothing to do for it yet");

        world.complete(token, &json!({"approved": true})).await?;
        let woken = world.wake(&live).await?;
        assert!(woken.fence.lease.epoch > live.fence.lease.epoch);
        let assignment = world.assignment(&woken).await?.context("assigned")?;
        let outcome = &assignment.runs[0].outcomes[0];
        assert_eq!(outcome.wait_id, wait.wait_id);
        assert_eq!(outcome.call_no, 1);
        assert_eq!(outcome.outcome.to_value(), json!({"ok": true, "data": {"approved": true}}));

        world.deliver(&woken, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
        world.succeed(&woken).await?;
        let events = world.events(live.run).await?;
        assert_eq!(
            events,
            [
                "run.created", "run.queued", "run.leased", "workspace.attached", "run.started",
                "token.created", "wait.created", "run.waiting", "run.parked", "token.completed",
                "wait.resolved", "run.resumed", "run.succeeded",
            ]
        );
        let stopped = worker::Stopped { at: world.at(), fence: woken.machine_fence(), version: None };
        worker::machine_stopped(&world.store, stopped).await?;
        assert!(world.assignment(&woken).await?.is_none());
    }

    async fn an_outcome_that_comes_while_hot_needs_no_park(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        let before = world.assignment(&live).await?.context("assigned")?;
        assert_eq!(before.runs[0].waiting.context("waits")?.wait_id, wait.wait_id);
        world.complete(token, &json!(1)).await?;
        let after = world.assignment(&live).await?.context("assigned")?;
        assert!(after.revision > before.revision && after.runs[0].waiting.is_none());
        assert_eq!(world.outcome(&live).await?, json!({"ok": true, "data": 1}));
        let refused = worker::machine_parking(&world.store, world.machine(&live)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::MachineBusy))), "{refused:?}");
        world.deliver(&live, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
        assert_eq!(count(&world, &live, "run.parked").await?, 0);
    }

    async fn an_outcome_that_comes_while_parking_wakes_the_machine_at_once(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
        world.complete(token, &json!(1)).await?;
        assert!(world.place().await?.is_empty(), "its lease is held");
        worker::machine_parked(&world.store, world.parked_input(&live, false)).await?;
        let woken = world.wake(&live).await?;
        assert_eq!(world.outcome(&woken).await?, json!({"ok": true, "data": 1}));
        world.deliver(&woken, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
        assert_eq!(count(&world, &live, "wait.resolved").await?, 1);
    }

    async fn an_outcome_that_comes_while_parking_reaches_a_machine_whose_park_fails(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        worker::machine_parking(&world.store, world.machine(&live)).await?;
        world.complete(token, &json!(1)).await?;
        worker::machine_unparked(&world.store, world.machine(&live)).await?;
        world.deliver(&live, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
    }

    async fn a_token_completed_twice_has_one_outcome_wherever_its_machine_is(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        assert!(!world.complete(token, &json!({"a": 1, "b": 2})).await?.already_completed);
        let woken = world.wake(&live).await?;
        // While resuming.
        assert!(world.complete(token, &json!({"b": 2, "a": 1})).await?.already_completed);
        let other = tokens::Complete {
            at: world.at(),
            scope: world.scope,
            token,
            data: (&json!(2)).try_into()?,
            public_token: None,
        };
        let refused = tokens::complete(&world.store, other).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::TokenCompletionConflict))),
            "{refused:?}"
        );
        world.deliver(&woken, wait.wait_id).await?;
        assert!(world.complete(token, &json!({"a": 1, "b": 2})).await?.already_completed);
        assert_eq!(count(&world, &live, "wait.resolved").await?, 1);
        assert_eq!(count(&world, &live, "token.completed").await?, 1);
        assert_eq!(world.status(live.run).await?, "running");
    }

    async fn a_completion_and_the_timeout_at_one_instant_have_one_outcome(world) {
        let live = world.live("plain").await?;
        for round in 1..=8_u64 {
            let token = world.token(&live).await?;
            let mut input = world.wait_input(&live, round, WaitFor::Token(token));
            let timeout = Duration::from_millis(5);
            input.timeout_at = Some(world.now().after(timeout));
            let wait = worker::register_wait(&world.store, input).await?;
            // Some completions are in time, some are not.
            world.advance(Duration::from_millis(i64::try_from(round)?));
            let data = json!(round);
            let (completed, fired) = tokio::join!(world.complete(token, &data), world.fire());
            completed?;
            fired?;
            let outcome = world.outcome(&live).await?;
            world.deliver(&live, wait.wait_id).await?;
            assert!(outcome["data"] == json!(round) || outcome["error"]["code"] == "timeout", "{outcome}");
            world.advance(timeout);
            assert_eq!(world.status(live.run).await?, "running");
        }
        let decided = count(&world, &live, "wait.resolved").await?
            + count(&world, &live, "wait.timed_out").await?;
        assert_eq!(decided, 8);
        assert_eq!(count(&world, &live, "run.resumed").await?, 8);
    }

    async fn a_wait_times_out_and_says_so(world) {
        let live = world.live("plain").await?;
        let mut input = world.wait_input(&live, 1, World::messages(None));
        input.timeout_at = Some(world.now().after(Duration::from_secs(30)));
        let wait = worker::register_wait(&world.store, input).await?;
        world.park(&live).await?;
        assert_eq!(world.fire().await?, 0);
        world.advance(Duration::from_secs(30));
        assert_eq!(world.fire().await?, 1);
        let woken = world.wake(&live).await?;
        let outcome = world.outcome(&woken).await?;
        assert_eq!(outcome["ok"], json!(false));
        assert_eq!(outcome["error"]["code"], json!("timeout"));
        world.deliver(&woken, wait.wait_id).await?;
        // What comes now is for the next one.
        world.send(live.session, &json!("late"), None).await?;
        assert_eq!(world.unread(live.session).await?, [json!("late")]);
    }

    async fn a_timer_wakes_at_its_time(world) {
        let live = world.live("plain").await?;
        let due_at = world.now().after(Duration::from_secs(3_600));
        let wait = world.wait(&live, 1, WaitFor::Timer { due_at, clock: Clock::Steady }).await?;
        assert_eq!(helmr_store::timers::next_due(&world.store).await?.steady, Some(due_at));
        world.park(&live).await?;
        world.advance(Duration::from_secs(3_600));
        world.fire().await?;
        let woken = world.wake(&live).await?;
        assert_eq!(world.outcome(&woken).await?, json!({"ok": true, "data": null}));
        world.deliver(&woken, wait.wait_id).await?;
        assert_eq!(world.status(live.run).await?, "running");
    }

    async fn a_condition_that_is_met_does_not_block(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.complete(token, &json!("early")).await?;
        world.send(live.session, &json!("first"), None).await?;
        let past = WaitFor::Timer { due_at: world.now(), clock: Clock::Steady };
        let cases = [
            (WaitFor::Token(token), json!("early")),
            (World::messages(None), json!("first")),
            (past, json!(null)),
        ];
        for (call_no, (wait_for, data)) in (1..).zip(cases) {
            let wait = world.wait(&live, call_no, wait_for).await?;
            assert!(wait.decided);
            assert_eq!(world.status(live.run).await?, "running");
            let outcome = world.outcome(&live).await?;
            let got = outcome["data"].get("data").unwrap_or(&outcome["data"]);
            assert_eq!(*got, data);
            world.deliver(&live, wait.wait_id).await?;
        }
        assert_eq!(count(&world, &live, "run.waiting").await?, 0);
        assert!(world.unread(live.session).await?.is_empty());
    }

    async fn a_second_blocking_wait_is_refused(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        let second = world.wait_input(&live, 2, World::messages(Some("x")));
        let refused = worker::register_wait(&world.store, second).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::ConcurrentWait))), "{refused:?}");
        // Also while the first one's outcome is on its way.
        world.send(live.session, &json!(1), None).await?;
        let third = world.wait_input(&live, 3, World::messages(None));
        let refused = worker::register_wait(&world.store, third).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::ConcurrentWait))), "{refused:?}");
    }

    async fn waits_on_what_is_not_there_are_refused(world) {
        let live = world.live("plain").await?;
        let unknown = WaitFor::Stream { stream: "unknown".parse()?, correlation_id: None };
        let refused = worker::register_wait(&world.store, world.wait_input(&live, 1, unknown)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::StreamUnknown { .. }))), "{refused:?}");
        let at = world.at();
        let nowhere = WaitFor::Token(helmr_domain::TokenId::new(at.now, at.seed));
        let refused = worker::register_wait(&world.store, world.wait_input(&live, 2, nowhere)).await;
        assert!(matches!(refused, Err(Error::NotFound("token"))), "{refused:?}");
    }

    async fn a_correlated_wait_takes_the_first_match_and_leaves_the_others(world) {
        let live = world.live("plain").await?;
        for (data, correlation) in [(1, None), (2, Some("b")), (3, Some("a")), (4, Some("a"))] {
            world.send(live.session, &json!(data), correlation).await?;
        }
        let wait = world.wait(&live, 1, World::messages(Some("a"))).await?;
        assert_eq!(world.outcome(&live).await?["data"]["data"], json!(3));
        // Not read before the task has it.
        assert_eq!(world.unread(live.session).await?.len(), 4);
        world.deliver(&live, wait.wait_id).await?;
        assert_eq!(world.unread(live.session).await?, [json!(1), json!(2), json!(4)]);
        let wait = world.wait(&live, 2, World::messages(None)).await?;
        world.deliver(&live, wait.wait_id).await?;
        assert_eq!(world.unread(live.session).await?, [json!(2), json!(4)]);
    }

    async fn a_record_goes_to_one_wait_of_several(world) {
        let live = world.live("plain").await?;
        let mut waits = Vec::new();
        for call_no in 1..=2 {
            let mut input = world.wait_input(&live, call_no, World::messages(None));
            input.blocking = false;
            waits.push(worker::register_wait(&world.store, input).await?);
        }
        assert_eq!(world.status(live.run).await?, "running");
        world.send(live.session, &json!("one"), None).await?;
        assert_eq!(world.outcome(&live).await?["data"]["data"], json!("one"));
        world.send(live.session, &json!("two"), None).await?;
        // A third wait finds both on their way.
        let mut third = world.wait_input(&live, 3, World::messages(None));
        third.blocking = false;
        assert!(!worker::register_wait(&world.store, third).await?.decided);
        for wait in waits {
            world.deliver(&live, wait.wait_id).await?;
        }
        assert!(world.unread(live.session).await?.is_empty());
        assert_eq!(world.status(live.run).await?, "running");
    }

    async fn a_record_that_never_reached_the_task_stays_unread(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.send(live.session, &json!("precious"), None).await?;
        let failure = helmr_domain::Failure::new(helmr_domain::FailureKind::TaskExited, "gone");
        world.finish(&live, Finished::Failed(failure)).await?;
        assert_eq!(world.unread(live.session).await?, [json!("precious")]);
        assert_eq!(count(&world, &live, "wait.cancelled").await?, 1);
    }

    async fn what_is_decided_survives_a_machine_that_is_lost_while_resuming(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        world.complete(token, &json!(1)).await?;
        let placed = world.place().await?;
        assert_eq!(placed.len(), 1);
        // The worker is never heard of again with that lease.
        world.advance(crate::world::LEASE);
        let reaped = worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(reaped.len(), 1);
        let woken = world.wake(&live).await?;
        assert!(woken.fence.lease.epoch > placed[0].epoch);
        assert_eq!(world.outcome(&woken).await?, json!({"ok": true, "data": 1}));
        world.deliver(&woken, wait.wait_id).await?;
        world.succeed(&woken).await?;
        assert_eq!(world.status(live.run).await?, "succeeded");
    }

    async fn a_token_that_ends_without_data_says_why(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let wait = world.wait(&live, 1, WaitFor::Token(token)).await?;
        tokens::cancel(&world.store, world.scope, token, world.at()).await?;
        assert_eq!(world.outcome(&live).await?["error"]["code"], json!("cancelled"));
        world.deliver(&live, wait.wait_id).await?;
        let token = world.token(&live).await?;
        world.wait(&live, 2, WaitFor::Token(token)).await?;
        world.advance(Duration::from_secs(3_600));
        world.fire().await?;
        assert_eq!(world.outcome(&live).await?["error"]["code"], json!("expired"));
    }
}
