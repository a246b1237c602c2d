//! `POST /tokens/{id}/complete`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::tokens::{CompleteToken, TokenCompletion};
use helmr_domain::TokenId;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Access;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Completes a token, by API key or by the token's public access token. Equal data again returns the first completion.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/complete", operation_id = "complete_token", tag = "tokens",
    params(("id" = String, Path)), request_body = CompleteToken,
    responses((status = OK, body = TokenCompletion), Refusals))]
pub(crate) async fn complete_token(
    State(control): State<Control>,
    access: Access,
    Path(id): Path<TokenId>,
    body: Json<CompleteToken>,
) -> Result<Answer<TokenCompletion>, ApiError> {
    access.allow_token(id)?;
    let by = access.public_token();
    let completion =
        ops::tokens::complete(&control, access.scope(), id, &body.value.data, by).await?;
    Ok(Answer(TokenCompletion {
        token: view::token(&completion.token),
        already_completed: completion.already_completed,
    }))
}
