//! Runs: their ends, limits, attempts and what they leave behind.

use anyhow::{Context, Result, bail};
use helmr_domain::run::State;
use helmr_domain::{CanonicalJson, Duration, Failure, FailureKind, Refusal};
use helmr_store::runs::{ChangeMetadata, MetadataOp, cancel, change_metadata};
use helmr_store::worker::{self, Finished, WaitFor};
use helmr_store::{Error, runs};
use serde_json::json;

use crate::on_both;
use crate::world::{LEASE, Live, World, fresh};

async fn failure_kind(world: &World, live: &Live) -> Result<FailureKind> {
    match world.run(live.run).await?.state.state {
        State::Failed { failure, .. } => Ok(failure.kind),
        other => bail!("{other:?}"),
    }
}

on_both! {
    async fn a_queued_run_expires_at_its_time_to_live(world) {
        let started = world.start("short").await?;
        assert_eq!(started.run.attempt_number, None);
        world.advance(Duration::from_secs(60));
        // The deadline decides, not the timer: it may not be placed any more.
        assert!(world.place().await?.is_empty());
        world.fire().await?;
        let run = world.run(started.run.id).await?;
        assert_eq!((run.state.status().as_str(), run.attempt_number), ("expired", None));
        assert_eq!(world.session(started.session.id).await?.active_run, None);
    }

    async fn a_queued_run_is_cancelled_at_once(world) {
        let started = world.start("plain").await?;
        let run = cancel(&world.store, world.scope, started.run.id, None, world.at()).await?;
        assert_eq!(run.state.status().as_str(), "cancelled");
        assert!(world.place().await?.is_empty());
    }

    async fn what_whoever_cancelled_it_said_is_kept_and_told(world) {
        let live = world.live("plain").await?;
        let said = Some("superseded".to_owned());
        cancel(&world.store, world.scope, live.run, said.clone(), world.at()).await?;
        let assignment = world.assignment(&live).await?.context("assigned")?;
        let stop = assignment.runs[0].stop.clone().context("told to stop")?;
        assert_eq!((stop.reason.as_str(), stop.message.as_str()), ("cancelled", "superseded"));
        world.finish(&live, Finished::Stopped).await?;
        let ended = world.run(live.run).await?.state.state;
        assert!(matches!(&ended, State::Cancelled { text, .. } if *text == said), "{ended:?}");
        let events = runs::events(&world.store, world.scope, live.run, 0, 100).await?;
        let messages: Vec<_> = events
            .iter()
            .filter(|event| event.attributes.contains_key("reason") && event.kind.as_str() != "run.created")
            .map(|event| (event.kind.as_str(), event.attributes["message"].clone()))
            .collect();
        assert_eq!(messages, [
            ("run.cancel_requested", json!("superseded")),
            ("run.cancelled", json!("superseded")),
        ]);
    }

    async fn a_sessions_end_is_the_reason_of_its_runs(world) {
        let live = world.live("plain").await?;
        let said = Some("the thread was closed".to_owned());
        let store = &world.store;
        let session = helmr_store::sessions::cancel(store, world.scope, live.session, said.clone(), world.at()).await?;
        assert_eq!(session.cancel_text, said);
        let stop = world.run(live.run).await?.state.stop.context("told to stop")?;
        assert_eq!((stop.reason.as_str(), &stop.text), ("session_cancelled", &said));
    }

    async fn a_running_run_has_its_grace(world) {
        let live = world.live("plain").await?;
        let run = cancel(&world.store, world.scope, live.run, None, world.at()).await?;
        assert_eq!(run.state.status().as_str(), "running");
        let assignment = world.assignment(&live).await?.context("assigned")?;
        let stop = assignment.runs[0].stop.clone().context("told to stop")?;
        assert_eq!(stop.kill_at, world.now().after(Duration::from_secs(10)));
        // Whatever the task says now.
        world.succeed(&live).await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
    }

    async fn a_run_whose_end_is_never_told_ends_after_its_grace(world) {
        let live = world.live("plain").await?;
        cancel(&world.store, world.scope, live.run, None, world.at()).await?;
        world.advance(Duration::from_secs(10));
        world.fire().await?;
        assert_eq!(world.status(live.run).await?, "running", "the worker may still tell of it");
        world.advance(Duration::from_secs(5));
        world.fire().await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
        let assignment = world.assignment(&live).await?.context("assigned")?;
        assert!(assignment.runs.is_empty());
    }

    async fn a_parked_run_is_woken_for_its_grace(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        world.wait(&live, 1, WaitFor::Token(token)).await?;
        world.park(&live).await?;
        let run = cancel(&world.store, world.scope, live.run, None, world.at()).await?;
        assert_eq!(run.state.status().as_str(), "waiting");
        let woken = world.wake(&live).await?;
        let run = &world.assignment(&woken).await?.context("assigned")?.runs[0];
        let grace = run.stop.clone().context("told to stop")?.kill_at.since(world.now());
        assert!(grace > Duration::from_secs(9), "{grace}");
        assert!(run.waiting.is_none() && run.outcomes.is_empty());
        world.finish(&woken, Finished::Stopped).await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
    }

    async fn a_parked_run_that_does_not_wake_is_cancelled_anyway(world) {
        let live = world.live("plain").await?;
        world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        worker::disconnected(&world.store, world.worker, world.at()).await?;
        cancel(&world.store, world.scope, live.run, None, world.at()).await?;
        assert!(world.place().await?.is_empty());
        world.advance(Duration::from_secs(59));
        world.fire().await?;
        assert_eq!(world.status(live.run).await?, "waiting");
        world.advance(Duration::from_secs(1));
        world.fire().await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
    }

    async fn max_duration_counts_only_what_runs(world) {
        let live = world.live("plain").await?;
        world.advance(Duration::from_secs(500));
        let wait = world.wait(&live, 1, World::messages(None)).await?;
        world.park(&live).await?;
        world.advance(Duration::from_secs(100_000));
        world.fire().await?;
        world.send(live.session, &json!(1), None).await?;
        let woken = world.wake(&live).await?;
        world.deliver(&woken, wait.wait_id).await?;
        let active = world.run(live.run).await?.state.active;
        assert!(active >= Duration::from_secs(500) && active < Duration::from_secs(501), "{active}");
        world.advance(Duration::from_secs(399));
        world.fire().await?;
        assert!(world.run(live.run).await?.state.stop.is_none());
        world.advance(Duration::from_secs(1));
        world.fire().await?;
        let stop = world.run(live.run).await?.state.stop.context("told to stop")?;
        assert_eq!(stop.reason.as_str(), "max_duration");
        world.finish(&woken, Finished::Stopped).await?;
        assert_eq!(failure_kind(&world, &live).await?, FailureKind::MaxDuration);
    }

    async fn a_drained_run_moves_and_is_woken_unasked(world) {
        let live = world.live("plain").await?;
        world.advance(Duration::from_secs(10));
        let parked = world.parked_input(&live, true);
        worker::machine_parked(&world.store, parked).await?;
        let run = world.run(live.run).await?;
        assert_eq!(run.state.status().as_str(), "running");
        assert_eq!(run.placement.context("placed")?.state, "moving");
        world.advance(Duration::from_secs(100_000));
        world.fire().await?;
        let woken = world.wake(&live).await?;
        let run = world.run(live.run).await?;
        assert_eq!(run.placement.context("placed")?.state, "live");
        assert!(run.state.stop.is_none() && run.state.active < Duration::from_secs(11));
        world.succeed(&woken).await?;
    }

    async fn a_run_lost_before_its_code_began_is_dispatched_again(world) {
        let started = world.start("plain").await?;
        world.place().await?;
        world.advance(LEASE);
        assert_eq!(worker::reap_expired_leases(&world.store, world.at(), 10).await?.len(), 1);
        let run = world.run(started.run.id).await?;
        assert_eq!((run.state.status().as_str(), run.state.dispatch_attempts), ("queued", 1));
        assert!(world.place().await?.is_empty(), "not at once");
        world.advance(Duration::from_secs(1));
        world.fire().await?;
        let live = world.go_live(&started.run).await?;
        let run = world.run(live.run).await?;
        assert_eq!((run.attempt_number, run.state.dispatch_attempts), (Some(1), 2));
    }

    async fn a_run_lost_after_its_code_began_fails_and_its_files_wait_for_a_choice(world) {
        let live = world.live("plain").await?;
        world.advance(LEASE);
        worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(failure_kind(&world, &live).await?, FailureKind::WorkerLost);
        let retry = runs::Retry {
            at: world.at(),
            scope: world.scope,
            run: live.run,
            provenance: json!({}),
            idempotency: None,
        };
        let next = fresh(runs::start_retry(&world.store, retry).await?)?;
        assert!(world.place().await?.is_empty());
        let placement = world.run(next.id).await?.placement.context("queued")?;
        assert!(placement.reason.context("a reason")?.contains("lost worker"));
        helmr_store::workspaces::recover(&world.store, world.scope, live.workspace, world.at()).await?;
        world.go_live(&next).await?;
    }

    async fn a_machine_in_which_nothing_was_started_needs_no_choice(world) {
        let started = world.start("plain").await?;
        let placed = world.place().await?;
        let live = world.on(&started.run, &placed[0]).await?;
        worker::machine_live(&world.store, world.machine(&live)).await?;
        world.advance(LEASE);
        worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        world.advance(Duration::from_secs(1));
        world.go_live(&started.run).await?;
        assert_eq!(world.status(started.run.id).await?, "running");
    }

    async fn a_run_with_an_attempt_left_goes_on_from_the_last_version_by_itself(world) {
        let live = world.live("retried").await?;
        let version = world.version();
        let captured = worker::Captured { at: world.at(), fence: live.machine_fence(), version: version.clone(), asked: Vec::new() };
        worker::version_captured(&world.store, captured).await?;
        world.advance(LEASE);
        worker::reap_expired_leases(&world.store, world.at(), 10).await?;
        assert_eq!(world.status(live.run).await?, "queued");
        world.advance(Duration::from_secs(1));
        let again = world.go_live(&world.run(live.run).await?).await?;
        assert_eq!(again.fence.attempt, 2);
        let origin = world.assignment(&again).await?.context("assigned")?.machine.origin;
        assert_eq!(origin, worker::Origin::Version {
            version_id: version.version_id,
            manifest: version.manifest,
        });
        let failure = Failure::new(FailureKind::TaskError, "again");
        world.finish(&again, Finished::Failed(failure)).await?;
        assert_eq!(failure_kind(&world, &live).await?, FailureKind::TaskError);
    }

    async fn a_failed_attempt_is_followed_by_the_next_in_the_same_machine(world) {
        let live = world.live("retried").await?;
        let token = world.token(&live).await?;
        let failure = Failure::new(FailureKind::TaskError, "once");
        world.finish(&live, Finished::Failed(failure.clone())).await?;
        // What belonged to the attempt is over.
        let token = helmr_store::tokens::get(&world.store, world.scope, token).await?.context("token")?;
        assert_eq!(token.state.as_str(), "cancelled");
        // Told again, it is the same end.
        world.finish(&live, Finished::Failed(failure)).await?;
        assert_eq!(world.status(live.run).await?, "queued");
        world.advance(Duration::from_secs(1));
        let placed = world.place().await?;
        assert_eq!(placed[0].kind, worker::PlacedKind::Join);
        let again = world.on(&world.run(live.run).await?, &placed[0]).await?;
        assert_eq!((again.fence.attempt, again.machine), (2, live.machine));
        worker::run_started(&world.store, again.fence, world.at()).await?;
        world.succeed(&again).await?;
        assert_eq!(world.status(live.run).await?, "succeeded");
    }

    async fn only_a_finished_run_is_started_again(world) {
        let live = world.live("plain").await?;
        let retry = |at| runs::Retry {
            at,
            scope: world.scope,
            run: live.run,
            provenance: json!({}),
            idempotency: None,
        };
        let refused = runs::start_retry(&world.store, retry(world.at())).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::RunNotFinished))), "{refused:?}");
        world.succeed(&live).await?;
        let next = fresh(runs::start_retry(&world.store, retry(world.at())).await?)?;
        assert_eq!((next.number, next.reason.as_str()), (2, "retry"));
        let refused = runs::start_retry(&world.store, retry(world.at())).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::SessionRunActive { run_id })) if run_id == next.id),
            "{refused:?}"
        );
        let refused = cancel(&world.store, world.scope, live.run, None, world.at()).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::RunFinished))), "{refused:?}");
    }

    async fn metadata_changes_once_for_each_call(world) {
        let live = world.live("plain").await?;
        let change = |call_no, op| ChangeMetadata { at: world.at(), fence: live.fence, call_no, op };
        let increment = || MetadataOp::Increment { key: "n".to_owned(), by: 1.0 };
        for (call_no, expected) in [(1, 1), (1, 1), (2, 2)] {
            let whole = change_metadata(&world.store, change(call_no, increment())).await?;
            assert_eq!(whole, json!({"n": expected}));
        }
        let set = MetadataOp::Set { key: "big".to_owned(), value: json!("x".repeat(300_000)) };
        let refused = change_metadata(&world.store, change(3, set)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::MetadataTooLarge { .. }))), "{refused:?}");
        assert_eq!(world.run(live.run).await?.metadata, json!({"n": 2}));
    }

    async fn an_event_of_the_metadata_has_the_change_and_not_the_whole_of_much(world) {
        let live = world.live("plain").await?;
        let change = |call_no, op| ChangeMetadata { at: world.at(), fence: live.fence, call_no, op };
        let set = MetadataOp::Set { key: "big".to_owned(), value: json!("x".repeat(20_000)) };
        let increment = || MetadataOp::Increment { key: "n".to_owned(), by: 2.0 };
        for (call_no, op) in [(1, increment()), (2, set), (3, increment())] {
            change_metadata(&world.store, change(call_no, op)).await?;
        }
        let events = runs::events(&world.store, world.scope, live.run, 0, 100).await?;
        let told: Vec<_> = events
            .iter()
            .filter(|event| event.kind.as_str() == "metadata.updated")
            .map(|event| serde_json::Value::Object(event.attributes.clone()))
            .collect();
        assert_eq!(
            told[0],
            json!({"op": "increment", "key": "n", "by": 2.0, "value": 2, "metadata": {"n": 2}})
        );
        assert_eq!((&told[1]["op"], &told[1]["key"]), (&json!("set"), &json!("big")));
        assert_eq!(told[2], json!({"op": "increment", "key": "n", "by": 2.0, "value": 4}));
    }

    async fn a_runs_first_event_has_its_payload_unless_it_is_long(world) {
        for (length, kept) in [(10, true), (70_000, false)] {
            let payload = json!({"text": "x".repeat(length)});
            let mut input = world.start_input("plain").await?;
            input.payload = Some(CanonicalJson::try_from(&payload)?);
            let started = fresh(helmr_store::sessions::start(&world.store, input).await?)?;
            let events = runs::events(&world.store, world.scope, started.run.id, 0, 1).await?;
            let told = &events[0].attributes;
            assert_eq!(told.get("payload"), kept.then_some(&payload));
            assert_eq!(told.contains_key("payload_left_out_bytes"), !kept);
        }
    }

    async fn runs_list_newest_first_in_pages(world) {
        let mut started = Vec::new();
        for _ in 0..3 {
            started.push(world.start("plain").await?.run.id);
        }
        cancel(&world.store, world.scope, started[1], None, world.at()).await?;
        let filter = runs::Filter::default;
        let page = runs::list(&world.store, world.scope, filter(), None, 2).await?;
        let ids = |page: &helmr_store::Page<runs::Run, _>| page.items.iter().map(|run| run.id).collect::<Vec<_>>();
        assert_eq!(ids(&page), [started[2], started[1]]);
        let page = runs::list(&world.store, world.scope, filter(), page.next, 2).await?;
        assert_eq!((ids(&page), page.next), (vec![started[0]], None));
        let status = Some(helmr_domain::run::Status::Cancelled);
        let cancelled = runs::Filter { status, ..filter() };
        let page = runs::list(&world.store, world.scope, cancelled, None, 10).await?;
        assert_eq!(ids(&page), [started[1]]);
        let session = Some(world.run(started[0]).await?.session_id);
        let page = runs::list(&world.store, world.scope, runs::Filter { session, ..filter() }, None, 10).await?;
        assert_eq!(ids(&page), [started[0]]);
        let mut elsewhere = world.scope;
        elsewhere.environment = helmr_domain::EnvironmentId::new(world.now(), [8; 10]);
        assert!(runs::list(&world.store, elsewhere, filter(), None, 10).await?.items.is_empty());
        assert!(runs::get(&world.store, elsewhere, started[0]).await?.is_none());
    }
}
