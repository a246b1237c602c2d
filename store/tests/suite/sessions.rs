//! Sessions: started, reused, continued and ended.

use std::sync::Arc;

use anyhow::{Context, Result};
use helmr_domain::{Duration, Refusal};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::sessions::{self, Filter, Start, Started, cancel, close, start};
use helmr_store::streams::{self, NewRecord, SendInput};
use helmr_store::worker::{self, Finished};
use helmr_store::{Error, runs};
use serde_json::json;

use crate::on_both;
use crate::world::{Live, World, fresh};

async fn named(world: &World, payload: i64) -> Result<Start> {
    let mut input = world.start_input("plain").await?;
    input.external_id = Some("thread-1".to_owned());
    input.payload = Some((&json!({"n": payload})).try_into()?);
    Ok(input)
}

/// Lets the run of a session's live machine read one message.
async fn read_message(world: &World, live: &Live, call_no: u64) -> Result<()> {
    let wait = world.wait(live, call_no, World::messages(None)).await?;
    world.deliver(live, wait.wait_id).await?;
    Ok(())
}

on_both! {
    async fn an_open_session_is_reused_by_its_external_id(world) {
        let first = fresh(start(&world.store, named(&world, 1).await?).await?)?;
        let again = fresh(start(&world.store, named(&world, 1).await?).await?)?;
        assert!(!first.reused && again.reused);
        assert_eq!((again.session.id, again.run.id), (first.session.id, first.run.id));
        // Its run has ended: another one begins.
        runs::cancel(&world.store, world.scope, first.run.id, None, world.at()).await?;
        let next = fresh(start(&world.store, named(&world, 1).await?).await?)?;
        assert_eq!(next.session.id, first.session.id);
        assert_eq!((next.run.number, next.reused), (2, true));
        let refused = start(&world.store, named(&world, 2).await?).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::SessionFingerprintMismatch))),
            "{:?}", refused.err()
        );
        cancel(&world.store, world.scope, first.session.id, None, world.at()).await?;
        let other = fresh(start(&world.store, named(&world, 2).await?).await?)?;
        assert_ne!(other.session.id, first.session.id);
        let found = sessions::find_by_external_id(&world.store, world.scope, "thread-1").await?;
        assert_eq!(found.context("open")?.id, other.session.id);
    }

    async fn an_external_id_is_free_again_when_its_session_is_over(world) {
        let mut input = named(&world, 1).await?;
        input.expires_at = Some(world.now().after(Duration::from_secs(10)));
        let first = fresh(start(&world.store, input).await?)?;
        world.advance(Duration::from_secs(10));
        // Its timer has not fired yet.
        let next = fresh(start(&world.store, named(&world, 1).await?).await?)?;
        assert_ne!(next.session.id, first.session.id);
        assert_eq!(world.session(first.session.id).await?.state.as_str(), "expired");
        assert_eq!(world.status(first.run.id).await?, "cancelled");
    }

    async fn two_starts_with_one_external_id_make_one_session(world) {
        let (one, other) = (named(&world, 1).await?, named(&world, 1).await?);
        let (one, other) = tokio::join!(start(&world.store, one), start(&world.store, other));
        let (one, other) = (fresh(one?)?, fresh(other?)?);
        assert_eq!(one.session.id, other.session.id);
        assert_eq!(one.run.id, other.run.id);
        assert!(one.reused != other.reused);
    }

    async fn a_repeated_request_has_the_first_answer(world) {
        let keyed = |mut input: Start, hash| {
            input.idempotency = Some(Idempotency {
                key: "key".to_owned(),
                request_hash: [hash; 32],
                sealed: Some(vec![9]),
                answer: Arc::new(|started: &Started| json!({"id": started.session.id, "status": "queued"})),
            });
            input
        };
        let input = world.start_input("plain").await?;
        let first = fresh(start(&world.store, keyed(input.clone(), 1)).await?)?;
        runs::cancel(&world.store, world.scope, first.run.id, None, world.at()).await?;
        let mut again = input.clone();
        again.at = world.at();
        let Kept::Replayed { answer, sealed } = start(&world.store, keyed(again, 1)).await? else {
            anyhow::bail!("started again");
        };
        assert_eq!(answer, json!({"id": first.session.id, "status": "queued"}));
        assert_eq!(sealed, Some(vec![9]));
        let refused = start(&world.store, keyed(input.clone(), 2)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::IdempotencyKeyReused))), "{:?}", refused.err());
        // Secrets go after a day, the answer after thirty.
        world.advance(Duration::from_secs(86_400));
        let mut later = input.clone();
        later.at = world.at();
        let Kept::Replayed { sealed, .. } = start(&world.store, keyed(later, 1)).await? else {
            anyhow::bail!("started again");
        };
        assert_eq!(sealed, None);
        world.advance(Duration::from_secs(30 * 86_400));
        let mut last = input;
        last.at = world.at();
        fresh(start(&world.store, keyed(last, 2)).await?)?;
        helmr_store::idempotency::sweep(&world.store, world.at(), 10).await?;
    }

    async fn a_task_with_secrets_is_not_started(world) {
        let input = world.start_input("secret").await?;
        let refused = start(&world.store, input).await;
        let Err(Error::Refused(Refusal::SecretMissing { names })) = refused else {
            anyhow::bail!("started");
        };
        assert_eq!(names, ["KEY"]);
    }

    async fn a_workspace_must_fit_the_tasks_sandbox(world) {
        let first = world.start("plain").await?;
        let mut input = world.start_input("large").await?;
        input.workspace = Some(first.session.workspace_id);
        let refused = start(&world.store, input).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::WorkspaceIncompatible { .. }))),
            "{:?}", refused.err()
        );
        let mut input = world.start_input("plain").await?;
        input.workspace = Some(helmr_domain::WorkspaceId::new(world.now(), [3; 10]));
        let refused = start(&world.store, input).await;
        assert!(matches!(refused, Err(Error::NotFound("workspace"))), "{:?}", refused.err());
    }

    async fn a_session_closes_when_idle_and_takes_nothing_more(world) {
        let live = world.live("plain").await?;
        let refused = close(&world.store, world.scope, live.session, world.at()).await;
        assert!(
            matches!(refused, Err(Error::Refused(Refusal::SessionRunActive { run_id })) if run_id == live.run),
            "{refused:?}"
        );
        world.succeed(&live).await?;
        for _ in 0..2 {
            let closed = close(&world.store, world.scope, live.session, world.at()).await?;
            assert_eq!(closed.state.as_str(), "closed");
            assert_eq!(closed.result, Some(json!({"ok": true})));
        }
        let refused = world.send(live.session, &json!(1), None).await;
        assert!(format!("{refused:?}").contains("not open"), "{refused:?}");
    }

    async fn cancelling_a_session_stops_its_run(world) {
        let live = world.live("plain").await?;
        for _ in 0..2 {
            let reason = Some("no longer needed".to_owned());
            let session = cancel(&world.store, world.scope, live.session, reason, world.at()).await?;
            assert_eq!(session.state.as_str(), "cancelled");
            assert_eq!(session.cancel_text.as_deref(), Some("no longer needed"));
        }
        assert!(world.run(live.run).await?.state.stop.is_some());
        world.finish(&live, Finished::Stopped).await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
        assert_eq!(world.session(live.session).await?.active_run, None);
    }

    async fn a_session_expires_with_its_run(world) {
        let mut input = world.start_input("plain").await?;
        input.expires_at = Some(world.now().after(Duration::from_secs(10)));
        let started = fresh(start(&world.store, input).await?)?;
        let live = world.go_live(&started.run).await?;
        world.advance(Duration::from_secs(10));
        world.fire().await?;
        assert_eq!(world.session(live.session).await?.state.as_str(), "expired");
        let stop = world.run(live.run).await?.state.stop.context("told to stop")?;
        assert_eq!(stop.reason.as_str(), "session_expired");
        world.finish(&live, Finished::Stopped).await?;
        assert_eq!(world.status(live.run).await?, "cancelled");
    }

    async fn input_to_an_idle_session_starts_its_next_run(world) {
        let live = world.live("plain").await?;
        let sent = world.send(live.session, &json!(1), None).await?;
        assert_eq!((sent.record.sequence, sent.record.started_run), (1, None));
        // It read nothing: what is unread starts nothing.
        assert_eq!(world.succeed(&live).await?, None);
        let sent = world.send(live.session, &json!(2), None).await?;
        let next = world.run(sent.record.started_run.context("started")?).await?;
        assert_eq!((next.number, next.reason.as_str()), (2, "input"));
        assert_eq!(world.session(live.session).await?.activity.as_str(), "queued");
    }

    async fn unread_input_starts_the_next_run_when_one_succeeds_that_has_read_some(world) {
        let live = world.live("plain").await?;
        for data in 1..=3 {
            world.send(live.session, &json!(data), None).await?;
        }
        read_message(&world, &live, 1).await?;
        let next = world.succeed(&live).await?.context("the next run")?;
        assert_eq!(world.session(live.session).await?.active_run, Some(next));
        let placed = world.place().await?;
        let again = world.on(&world.run(next).await?, &placed[0]).await?;
        assert_eq!(again.machine, live.machine, "the machine is still there");
        worker::run_started(&world.store, again.fence, world.at()).await?;
        read_message(&world, &again, 1).await?;
        assert_eq!(world.unread(live.session).await?, [json!(3)]);
        // A failed one does not.
        let failure = helmr_domain::Failure::new(helmr_domain::FailureKind::TaskError, "m");
        assert_eq!(world.finish(&again, Finished::Failed(failure)).await?, None);
        let session = world.session(live.session).await?;
        assert_eq!((session.active_run, session.activity.as_str()), (None, "idle"));
        assert!(session.error.is_some() && session.result.is_none());
    }

    async fn sessions_are_found_by_tag_and_workspace(world) {
        let mut started = Vec::new();
        for tags in [vec!["a", "b"], vec!["b"], vec!["a"]] {
            let mut input = world.start_input("plain").await?;
            input.tags = tags.into_iter().map(str::to_owned).collect();
            started.push(fresh(start(&world.store, input).await?)?.session);
        }
        let list = async |filter: Filter, before, limit| {
            let page = sessions::list(&world.store, world.scope, filter, before, limit).await?;
            let ids: Vec<_> = page.items.iter().map(|session| session.id).collect();
            anyhow::Ok((ids, page.next))
        };
        let tagged = |tag: &str| Filter { tag: Some(tag.to_owned()), ..Filter::default() };
        let (found, next) = list(tagged("a"), None, 1).await?;
        assert_eq!(found, [started[2].id]);
        let (found, next) = list(tagged("a"), next, 1).await?;
        assert_eq!((found, next), (vec![started[0].id], None));
        let workspace = Some(started[1].workspace_id);
        let inside = Filter { workspace, ..Filter::default() };
        assert_eq!(list(inside.clone(), None, 10).await?.0, [started[1].id]);
        let both = Filter { workspace, ..tagged("a") };
        assert!(list(both, None, 10).await?.0.is_empty());
        let open = Filter { status: Some("open".to_owned()), ..tagged("b") };
        cancel(&world.store, world.scope, started[1].id, None, world.at()).await?;
        assert_eq!(list(open, None, 10).await?.0, [started[0].id]);
    }

    async fn tags_and_metadata_change_and_are_told(world) {
        let started = world.start("plain").await?;
        let id = started.session.id;
        let change = |tags: Option<Vec<&str>>, metadata| sessions::Update {
            at: world.at(),
            scope: world.scope,
            session: id,
            tags: tags.map(|tags| tags.into_iter().map(str::to_owned).collect()),
            metadata,
        };
        let tagged = async |tag: &str| {
            let filter = Filter { tag: Some(tag.to_owned()), ..Filter::default() };
            let page = sessions::list(&world.store, world.scope, filter, None, 10).await?;
            anyhow::Ok(page.items.len())
        };
        let input = change(Some(vec!["x", "y"]), Some(json!({"n": 1})));
        let updated = sessions::update(&world.store, input).await?;
        assert_eq!((updated.tags.as_slice(), &updated.metadata), (["x".to_owned(), "y".to_owned()].as_slice(), &json!({"n": 1})));
        assert_eq!(world.session(id).await?, updated);
        assert_eq!((tagged("x").await?, tagged("y").await?), (1, 1));
        // The same again changes nothing; what is left out stays.
        sessions::update(&world.store, change(Some(vec!["x", "y"]), None)).await?;
        let updated = sessions::update(&world.store, change(Some(vec!["y"]), None)).await?;
        assert_eq!((tagged("x").await?, tagged("y").await?), (0, 1));
        assert_eq!(updated.metadata, json!({"n": 1}));
        let large = json!({"text": "x".repeat(20_000)});
        sessions::update(&world.store, change(None, Some(large))).await?;
        let events = helmr_store::events::list(
            &world.store, world.scope, helmr_store::Subject::Session(id), 0, 10,
        ).await?;
        let told: Vec<_> = events
            .iter()
            .filter(|event| event.kind.as_str() == "metadata.updated")
            .map(|event| serde_json::Value::Object(event.attributes.clone()))
            .collect();
        assert_eq!(told, [
            json!({"tags": ["x", "y"], "metadata": {"n": 1}}),
            json!({"tags": ["y"]}),
            json!({"left_out": true}),
        ]);
    }

    async fn a_key_holds_for_equal_numbers_and_names_the_run_that_was_started(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        let keyed = |data| SendInput {
            at: world.at(),
            scope: world.scope,
            session: live.session,
            record: NewRecord {
                stream: "messages".parse().expect("a name"),
                data,
                correlation_id: None,
                content_type: "application/json".to_owned(),
                idempotency_key: Some("k".to_owned()),
            },
            public_token: None,
            idempotency: None,
        };
        let first = fresh(streams::send_input(&world.store, keyed(json!({"n": 1}))).await?)?;
        assert!(first.record.started_run.is_some());
        let again = fresh(streams::send_input(&world.store, keyed(json!({"n": 1.0}))).await?)?;
        assert!(again.existed);
        assert_eq!(again.record, first.record);
    }

    async fn two_sends_at_once_to_an_idle_session_start_one_run(world) {
        let live = world.live("plain").await?;
        world.succeed(&live).await?;
        let (one, two) = (json!(1), json!(2));
        let (one, other) = tokio::join!(
            world.send(live.session, &one, None),
            world.send(live.session, &two, None)
        );
        let (one, other) = (one?.record, other?.record);
        assert!(one.started_run.is_some() != other.started_run.is_some());
        let started = one.started_run.or(other.started_run);
        assert_eq!(one.run_id.or(other.run_id), started, "the other came while it was active");
        assert_eq!(world.session(live.session).await?.active_run, started);
    }

    async fn the_end_of_the_last_run_is_told_to_whoever_follows_the_session(world) {
        let live = world.live("plain").await?;
        cancel(&world.store, world.scope, live.session, None, world.at()).await?;
        let mut hints = world.store.hints();
        world.finish(&live, Finished::Stopped).await?;
        let mut told = Vec::new();
        while let Ok(hint) = hints.try_recv() {
            told.push(hint);
        }
        let wanted = helmr_store::Hint::Events(helmr_store::Subject::Session(live.session));
        assert!(told.contains(&wanted), "{told:?}");
    }

    async fn a_record_with_a_key_is_kept_once(world) {
        let live = world.live("plain").await?;
        let keyed = |data| SendInput {
            at: world.at(),
            scope: world.scope,
            session: live.session,
            record: NewRecord {
                stream: "messages".parse().expect("a name"),
                data: json!(data),
                correlation_id: None,
                content_type: "application/json".to_owned(),
                idempotency_key: Some("k".to_owned()),
            },
            public_token: None,
            idempotency: None,
        };
        let first = fresh(streams::send_input(&world.store, keyed(1)).await?)?;
        let again = fresh(streams::send_input(&world.store, keyed(1)).await?)?;
        assert_eq!(first.record, again.record);
        assert!(!first.existed && again.existed);
        let refused = streams::send_input(&world.store, keyed(2)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::RecordKeyReused))), "{:?}", refused.err());
        let mut elsewhere = keyed(3);
        elsewhere.record.stream = "unknown".parse()?;
        let refused = streams::send_input(&world.store, elsewhere).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::StreamUnknown { .. }))), "{:?}", refused.err());
    }

    async fn a_tasks_output_is_appended_once_for_each_call(world) {
        let live = world.live("plain").await?;
        let append = |call_no, data| streams::AppendOutput {
            at: world.at(),
            scope: world.scope,
            session: live.session,
            record: NewRecord {
                stream: "events".parse().expect("a name"),
                data: json!(data),
                correlation_id: None,
                content_type: "application/json".to_owned(),
                idempotency_key: None,
            },
            origin: helmr_store::idempotency::Origin::Task(helmr_store::idempotency::TaskCall {
                fence: live.fence,
                call_no,
                sealed: None,
                answer: Arc::new(|sent: &streams::Sent| json!(sent.record.sequence)),
            }),
        };
        fresh(streams::append_output(&world.store, append(1, "a")).await?)?;
        let again = streams::append_output(&world.store, append(1, "a")).await?;
        assert_eq!(again, Kept::Replayed { answer: json!(1), sealed: None });
        fresh(streams::append_output(&world.store, append(2, "b")).await?)?;
        let list = streams::ListRecords {
            session: live.session,
            direction: helmr_domain::stream::Direction::Output,
            stream: "events".parse()?,
            correlation_id: None,
            after: 0,
            limit: 1,
        };
        let page = streams::list_records(&world.store, world.scope, list.clone()).await?;
        assert_eq!((page.items[0].data.clone(), page.next), (json!("a"), Some(1)));
        let rest = streams::ListRecords { after: 1, limit: 10, ..list };
        let page = streams::list_records(&world.store, world.scope, rest).await?;
        assert_eq!((page.items[0].data.clone(), page.next), (json!("b"), None));
        let all = streams::list(&world.store, world.scope, live.session, None, 10).await?;
        let known: Vec<_> =
            all.items.iter().map(|stream| (stream.name.as_str(), stream.last_sequence)).collect();
        assert_eq!(known, [("messages", 0), ("events", 2)]);
    }
}
