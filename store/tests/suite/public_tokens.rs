//! Public access tokens: made for one thing, counted, revoked.

use std::sync::Arc;

use anyhow::{Context, Result};
use helmr_domain::stream::Direction;
use helmr_domain::{Duration, Refusal, SessionId};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::public_tokens::{self, Create, Filter, Grant, PublicToken};
use helmr_store::streams::{self, NewRecord, SendInput};
use helmr_store::{Error, Hint};
use serde_json::json;

use crate::on_both;
use crate::world::{World, fresh};

fn create(world: &World, number: u8, grant: Grant) -> Create {
    Create {
        at: world.at(),
        scope: world.scope,
        grant,
        hash: [number; 32],
        allowed_origins: vec!["https://a.example".to_owned()],
        expires_at: world.now().after(Duration::from_secs(60)),
        max_uses: None,
        idempotency: None,
    }
}

fn stream(session: SessionId, direction: Direction, name: &str) -> Result<Grant> {
    Ok(Grant::Stream {
        session,
        direction,
        stream: name.parse()?,
        correlation_id: Some("a".to_owned()),
    })
}

fn send(world: &World, session: SessionId, by: &PublicToken, key: &str) -> Result<SendInput> {
    Ok(SendInput {
        at: world.at(),
        scope: world.scope,
        session,
        record: NewRecord {
            stream: "messages".parse()?,
            data: json!(key),
            correlation_id: None,
            content_type: "application/json".to_owned(),
            idempotency_key: Some(key.to_owned()),
        },
        public_token: Some(by.id),
        idempotency: None,
    })
}

on_both! {
    async fn what_it_is_for_must_be_there(world) {
        let session = world.start("plain").await?.session.id;
        let input = stream(session, Direction::Input, "messages")?;
        let made = fresh(public_tokens::create(&world.store, create(&world, 1, input.clone())).await?)?;
        assert_eq!((&made.grant, made.uses, made.max_uses), (&input, 0, None));
        assert_eq!(public_tokens::find(&world.store, [1; 32]).await?.as_ref(), Some(&made));
        for (grant, missing) in [
            (stream(SessionId::new(world.now(), [9; 10]), Direction::Input, "messages")?, "session"),
            (Grant::CompleteToken(helmr_domain::TokenId::new(world.now(), [9; 10])), "token"),
        ] {
            let refused = public_tokens::create(&world.store, create(&world, 2, grant)).await;
            assert!(
                matches!(refused, Err(Error::NotFound(object)) if object == missing),
                "{:?}", refused.err()
            );
        }
        // An output of that name is not declared, and another task's stream is none of this session's.
        for (direction, name) in [(Direction::Output, "messages"), (Direction::Input, "orders")] {
            let grant = stream(session, direction, name)?;
            let refused = public_tokens::create(&world.store, create(&world, 3, grant)).await;
            assert!(
                matches!(refused, Err(Error::Refused(Refusal::StreamUnknown { .. }))),
                "{:?}", refused.err()
            );
        }
    }

    async fn a_repeated_creation_makes_one_public_token(world) {
        let session = world.start("plain").await?.session.id;
        let keyed = |number, request: u8| -> Result<Create> {
            let mut input = create(&world, number, stream(session, Direction::Output, "events")?);
            input.idempotency = Some(Idempotency {
                key: "k".to_owned(),
                request_hash: [request; 32],
                sealed: Some(vec![number]),
                answer: Arc::new(|token: &PublicToken| json!(token.id)),
            });
            Ok(input)
        };
        let made = fresh(public_tokens::create(&world.store, keyed(1, 1)?).await?)?;
        let again = public_tokens::create(&world.store, keyed(2, 1)?).await?;
        assert!(matches!(
            again,
            Kept::Replayed { answer, sealed: Some(sealed) } if answer == json!(made.id) && sealed == [1]
        ));
        let refused = public_tokens::create(&world.store, keyed(3, 2)?).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::IdempotencyKeyReused))));
    }

    async fn they_are_listed_by_what_they_are_for(world) {
        let live = world.live("plain").await?;
        let token = world.token(&live).await?;
        let other = world.start("plain").await?.session.id;
        let made = fresh(public_tokens::create(&world.store, create(&world, 201, Grant::CompleteToken(token))).await?)?;
        for (number, session) in [(202, live.session), (203, other)] {
            let grant = stream(session, Direction::Input, "messages")?;
            fresh(public_tokens::create(&world.store, create(&world, number, grant)).await?)?;
        }
        let list = async |filter: Filter, before, limit| {
            public_tokens::list(&world.store, world.scope, filter, before, limit).await
        };
        let all = list(Filter::default(), None, 10).await?;
        assert_eq!(all.items.len(), 4, "with the one that came with the token");
        let of_token = Filter { token: Some(token), ..Filter::default() };
        let page = list(of_token.clone(), None, 1).await?;
        assert_eq!((page.items[0].id, page.next), (made.id, Some(made.id)));
        let page = list(of_token, page.next, 1).await?;
        assert_eq!((page.items.len(), page.next), (1, None));
        let of_session = Filter { session: Some(other), ..Filter::default() };
        assert_eq!(list(of_session, None, 10).await?.items.len(), 1);
        let got = public_tokens::get(&world.store, world.scope, made.id).await?;
        assert_eq!(got.as_ref(), Some(&made));
    }

    async fn a_use_is_a_newly_accepted_record(world) {
        let live = world.live("plain").await?;
        let mut input = create(&world, 1, stream(live.session, Direction::Input, "messages")?);
        input.max_uses = Some(2);
        let by = fresh(public_tokens::create(&world.store, input).await?)?;
        for key in ["1", "1", "2"] {
            fresh(streams::send_input(&world.store, send(&world, live.session, &by, key)?).await?)?;
        }
        let refused = streams::send_input(&world.store, send(&world, live.session, &by, "3")?).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::PublicTokenSpent))), "{:?}", refused.err());
        // What was accepted is answered again.
        let again = fresh(streams::send_input(&world.store, send(&world, live.session, &by, "2")?).await?)?;
        assert!(again.existed);
        let uses = public_tokens::get(&world.store, world.scope, by.id).await?.context("there")?.uses;
        assert_eq!(uses, 2);
    }

    async fn a_revoked_one_does_nothing_more_and_that_is_told(world) {
        let live = world.live("plain").await?;
        let grant = stream(live.session, Direction::Input, "messages")?;
        let by = fresh(public_tokens::create(&world.store, create(&world, 1, grant)).await?)?;
        let mut hints = world.store.hints();
        let revoked = public_tokens::revoke(&world.store, world.scope, by.id, world.at()).await?;
        assert!(revoked.revoked_at.is_some());
        assert_eq!(hints.try_recv()?, Hint::PublicToken(by.id));
        let again = public_tokens::revoke(&world.store, world.scope, by.id, world.at()).await?;
        assert_eq!(again, revoked, "the first time stands");
        let refused = streams::send_input(&world.store, send(&world, live.session, &by, "1")?).await;
        assert!(matches!(refused, Err(Error::Refused(Refusal::PublicTokenSpent))), "{:?}", refused.err());
        let unknown = helmr_domain::PublicTokenId::new(world.now(), [9; 10]);
        let refused = public_tokens::revoke(&world.store, world.scope, unknown, world.at()).await;
        assert!(matches!(refused, Err(Error::NotFound("public access token"))), "{refused:?}");
    }
}
