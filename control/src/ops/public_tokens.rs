//! Public access tokens: made with their secret, for one thing.

use std::sync::Arc;

use helmr_api::error::Code;
use helmr_api::http::public_tokens::{Capability, CreatePublicToken, CreatedPublicToken};
use helmr_domain::stream::Direction;
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::public_tokens::{self, Create, Grant, PublicToken};
use secrecy::ExposeSecret as _;
use serde_json::json;

use super::bounds;
use super::secrets::{self, Answer, Context, Secrets};
use crate::credential::{self, Kind};
use crate::http::idempotency::Request;
use crate::http::v1::public_tokens::view;
use crate::http::v1::streams::view::direction;
use crate::state::Environment;
use crate::{ApiError, Control};

/// What is kept of a creation's answer: `null` for the token itself.
fn without_secret() -> Render<PublicToken> {
    Arc::new(|token| {
        json!(CreatedPublicToken {
            public_token: view::public_token(token),
            secret: None,
        })
    })
}

/// Makes a public access token.
///
/// # Errors
/// `limit_exceeded`, `token_not_found`, `session_not_found`, `stream_not_found`, `idempotency_key_reused`.
pub(crate) async fn create(
    control: &Control,
    environment: &Environment,
    asked: CreatePublicToken,
    request: Option<Request>,
) -> Result<Answer, ApiError> {
    let at = control.moment()?;
    let expires_in = bounds::public_token_span(asked.expires_in.map(|span| span.0))?;
    let grant = grant(asked.capability)?;
    let reads = matches!(
        grant,
        Grant::Stream {
            direction: Direction::Output,
            ..
        }
    );
    let max_uses = bounds::max_uses(asked.max_uses, reads)?;
    let allowed_origins = bounds::origins(asked.allowed_origins)?;
    let secret = credential::mint(Kind::PublicToken)?;
    let mut secrets = Secrets::new();
    secrets.insert("secret".to_owned(), secret.expose_secret().into());
    let key = request.as_ref().map(|request| request.key.clone());
    let context = Context::Key(key.as_deref().unwrap_or_default());
    let idempotency = match request {
        None => None,
        Some(request) => Some(Idempotency {
            sealed: Some(secrets::seal(environment, &context, &secrets)?),
            key: request.key,
            request_hash: request.hash,
            answer: without_secret(),
        }),
    };
    let input = Create {
        at,
        scope: environment.row.scope,
        grant,
        hash: credential::hash_secret(&control.installation.keys, Kind::PublicToken, &secret),
        allowed_origins,
        expires_at: at.now.after(expires_in),
        max_uses,
        idempotency,
    };
    match public_tokens::create(&control.store, input).await? {
        Kept::Fresh(token) => Ok(Answer::fresh(without_secret()(&token), secrets)),
        Kept::Replayed { answer, sealed } => {
            secrets::replayed(environment, &context, answer, sealed)
        }
    }
}

fn grant(capability: Capability) -> Result<Grant, ApiError> {
    match capability {
        Capability::Token { token_id } => Ok(Grant::CompleteToken(token_id)),
        Capability::Stream {
            session_id,
            stream,
            direction: way,
            correlation_id,
        } => {
            bounds::correlation_id(correlation_id.as_deref())?;
            Ok(Grant::Stream {
                session: session_id,
                direction: direction(way),
                stream: stream.parse().map_err(|error: helmr_domain::NameError| {
                    ApiError::new(Code::InvalidBody, format!("capability.stream: {error}"))
                        .with_details(json!({ "path": "capability.stream" }))
                })?,
                correlation_id,
            })
        }
    }
}
