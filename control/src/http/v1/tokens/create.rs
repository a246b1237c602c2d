//! `POST /tokens`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::tokens::{CreateToken, CreatedToken};
use serde_json::json;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::refusals::Refusals;
use crate::ops::tokens::{self, NewToken};
use crate::{ApiError, Control};

/// Creates a token. Its two secrets are in this answer only.
#[utoipa::path(post, path = "/api/v1/tokens", operation_id = "create_token", tag = "tokens",
    request_body = CreateToken, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = CreatedToken), Refusals))]
pub(crate) async fn create_token(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<CreateToken>,
) -> Result<Response, ApiError> {
    let request = key.of("create_token", &body.sent)?;
    let CreateToken {
        timeout,
        tags,
        metadata,
        allowed_origins,
    } = body.value;
    let timeout = timeout.map(|span| span.0);
    let new = NewToken::checked(timeout, tags, metadata, allowed_origins)?;
    let answer = tokens::create_for_client(&control, &caller.environment, new, request).await?;
    let body = json!({ "token": answer.body });
    Ok(if answer.replayed {
        idempotency::replayed(body)
    } else {
        idempotency::created(&body)
    })
}
