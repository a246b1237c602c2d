//! `POST /public-tokens`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::public_tokens::{CreatePublicToken, CreatedPublicToken};

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::refusals::Refusals;
use crate::ops::public_tokens;
use crate::{ApiError, Control};

/// Creates a public access token, fit for a browser: for the completion of one token, or for one stream in one direction.
/// The token itself is in this answer only.
#[utoipa::path(post, path = "/api/v1/public-tokens", operation_id = "create_public_token", tag = "public-tokens",
    request_body = CreatePublicToken, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = CreatedPublicToken), Refusals))]
pub(crate) async fn create_public_token(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<CreatePublicToken>,
) -> Result<Response, ApiError> {
    let request = key.of("create_public_token", &body.sent)?;
    let answer = public_tokens::create(&control, &caller.environment, body.value, request).await?;
    Ok(if answer.replayed {
        idempotency::replayed(answer.body)
    } else {
        idempotency::created(&answer.body)
    })
}
