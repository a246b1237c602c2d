//! Tokens and the secrets that complete them.

use std::sync::Arc;

use anyhow::{Context, Result};
use helmr_domain::{Duration, Refusal};
use helmr_store::idempotency::{Idempotency, Kept, Origin, TaskCall};
use helmr_store::tokens::{self, Complete, Create, Filter, Token};
use helmr_store::{Error, public_tokens};
use serde_json::json;

use crate::on_both;
use crate::world::{World, fresh};

fn create(world: &World, number: u8) -> Create {
    Create {
        at: world.at(),
        scope: world.scope,
        timeout_at: world.now().after(Duration::from_secs(60)),
        tags: vec!["approval".to_owned()],
        metadata: json!({"n": number}),
        callback_hash: [number; 32],
        public_hash: [number + 100; 32],
        allowed_origins: vec!["https://a.example".to_owned()],
        origin: Origin::Client(None),
    }
}

fn complete(world: &World, token: &Token, data: i64) -> Result<Complete> {
    Ok(Complete {
        at: world.at(),
        scope: world.scope,
        token: token.id,
        data: (&json!(data)).try_into()?,
        public_token: None,
    })
}

on_both! {
    async fn a_clients_token_is_found_by_its_secrets(world) {
        let token = fresh(tokens::create(&world.store, create(&world, 1)).await?)?;
        let found = tokens::find_by_callback_hash(&world.store, [1; 32]).await?;
        assert_eq!(found.context("found")?, token);
        let public = public_tokens::find(&world.store, [101; 32]).await?.context("found")?;
        assert_eq!(public.grant, public_tokens::Grant::CompleteToken(token.id));
        assert_eq!(public.allowed_origins, ["https://a.example"]);
        let mut by_public = complete(&world, &token, 1)?;
        by_public.public_token = Some(public.id);
        for already in [false, true] {
            let completion = tokens::complete(&world.store, by_public.clone()).await?;
            assert_eq!(completion.already_completed, already);
        }
        let public = public_tokens::find(&world.store, [101; 32]).await?.context("found")?;
        assert_eq!(public.uses, 1, "a replay costs none");
        let events = helmr_store::events::list(
            &world.store, world.scope, helmr_store::Subject::Token(token.id), 0, 10,
        ).await?;
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["token.created", "token.completed"]);
    }

    async fn an_expired_token_is_too_late_before_its_timer_fires(world) {
        let token = fresh(tokens::create(&world.store, create(&world, 1)).await?)?;
        world.advance(Duration::from_secs(60));
        let refused = tokens::complete(&world.store, complete(&world, &token, 1)?).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::TokenExpired))), "{refused:?}");
        world.fire().await?;
        let token = tokens::get(&world.store, world.scope, token.id).await?.context("there")?;
        assert_eq!(token.state.as_str(), "expired");
    }

    async fn a_cancelled_token_is_gone(world) {
        let token = fresh(tokens::create(&world.store, create(&world, 1)).await?)?;
        for _ in 0..2 {
            tokens::cancel(&world.store, world.scope, token.id, world.at()).await?;
        }
        let refused = tokens::complete(&world.store, complete(&world, &token, 1)?).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::TokenCancelled))), "{refused:?}");
        assert!(helmr_store::timers::next_due(&world.store).await? == helmr_store::timers::Next::default());
    }

    async fn a_token_ends_with_the_attempt_that_made_it(world) {
        let live = world.live("plain").await?;
        let id = world.token(&live).await?;
        world.succeed(&live).await?;
        let token = tokens::get(&world.store, world.scope, id).await?.context("there")?;
        assert_eq!((token.state.as_str(), token.run_id), ("cancelled", Some(live.run)));
    }

    async fn a_repeated_creation_makes_one_token(world) {
        let live = world.live("plain").await?;
        let call = |number| {
            let mut input = create(&world, number);
            input.origin = Origin::Task(TaskCall {
                fence: live.fence,
                call_no: 1,
                sealed: Some(vec![number]),
                answer: Arc::new(|token: &Token| json!(token.id)),
            });
            input
        };
        let token = fresh(tokens::create(&world.store, call(1)).await?)?;
        // Another random secret each time: the first one counts.
        let again = tokens::create(&world.store, call(2)).await?;
        assert_eq!(again, Kept::Replayed { answer: json!(token.id), sealed: Some(vec![1]) });
        let keyed = |hash| {
            let mut input = create(&world, 3);
            input.origin = Origin::Client(Some(Idempotency {
                key: "k".to_owned(),
                request_hash: [hash; 32],
                sealed: None,
                answer: Arc::new(|token: &Token| json!(token.id)),
            }));
            input
        };
        fresh(tokens::create(&world.store, keyed(1)).await?)?;
        assert!(matches!(tokens::create(&world.store, keyed(1)).await?, Kept::Replayed { .. }));
        let refused = tokens::create(&world.store, keyed(2)).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::IdempotencyKeyReused))), "{refused:?}");
        let all = tokens::list(&world.store, world.scope, Filter::default(), None, 10).await?;
        assert_eq!(all.items.len(), 2);
        let status = Some("pending".to_owned());
        for filter in [
            Filter { run: Some(live.run), status: status.clone(), ..Filter::default() },
            Filter { session: Some(live.session), status, ..Filter::default() },
        ] {
            let found = tokens::list(&world.store, world.scope, filter, None, 10).await?;
            assert_eq!(found.items.iter().map(|token| token.id).collect::<Vec<_>>(), [token.id]);
        }
    }

    async fn tokens_are_found_by_their_tags(world) {
        let tagged = |number: u8, tags: &[&str]| {
            let mut input = create(&world, number);
            input.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
            input
        };
        let one = fresh(tokens::create(&world.store, tagged(1, &["a", "b", "a"])).await?)?;
        fresh(tokens::create(&world.store, tagged(2, &["c"])).await?)?;
        let three = fresh(tokens::create(&world.store, tagged(3, &["a"])).await?)?;
        let of = |tag: &str| Filter { tag: Some(tag.to_owned()), ..Filter::default() };
        let page = tokens::list(&world.store, world.scope, of("a"), None, 1).await?;
        assert_eq!((page.items[0].id, page.next), (three.id, Some(three.id)));
        let page = tokens::list(&world.store, world.scope, of("a"), page.next, 1).await?;
        assert_eq!((page.items[0].id, page.next), (one.id, None));
        tokens::cancel(&world.store, world.scope, one.id, world.at()).await?;
        let pending = Filter { status: Some("pending".to_owned()), ..of("b") };
        assert!(tokens::list(&world.store, world.scope, pending, None, 10).await?.items.is_empty());
        assert!(tokens::list(&world.store, world.scope, of("d"), None, 10).await?.items.is_empty());
    }

    async fn a_completion_is_told_with_its_data_unless_that_is_large(world) {
        for (number, data, told) in [(1, json!({"ok": true}), true), (2, json!("x".repeat(70_000)), false)] {
            let token = fresh(tokens::create(&world.store, create(&world, number)).await?)?;
            let mut input = complete(&world, &token, 0)?;
            input.data = (&data).try_into()?;
            tokens::complete(&world.store, input).await?;
            let events = helmr_store::events::list(
                &world.store, world.scope, helmr_store::Subject::Token(token.id), 1, 10,
            ).await?;
            let attributes = &events[0].attributes;
            assert_eq!(attributes.get("data"), told.then_some(&data));
            assert_eq!(attributes.contains_key("left_out"), !told);
        }
    }

    async fn two_completions_at_once_have_one_winner(world) {
        for number in 0..5 {
            let token = fresh(tokens::create(&world.store, create(&world, number)).await?)?;
            let (one, other) = (complete(&world, &token, 1)?, complete(&world, &token, 2)?);
            let (one, other) = tokio::join!(
                tokens::complete(&world.store, one),
                tokens::complete(&world.store, other)
            );
            let winners = [&one, &other].iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(winners, 1, "{one:?} {other:?}");
            let conflict = one.err().or(other.err());
            assert!(
                matches!(conflict, Some(Error::Refused(Refusal::TokenCompletionConflict))),
                "{conflict:?}"
            );
        }
    }
}
