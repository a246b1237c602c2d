//! `POST /tokens/{id}/cancel`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::tokens::{CancelToken, TokenAnswer};
use helmr_domain::TokenId;
use helmr_store::tokens;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Cancels a pending token: a run that waits for it goes on with `ok: false`. Cancelling it again changes nothing.
#[utoipa::path(post, path = "/api/v1/tokens/{id}/cancel", operation_id = "cancel_token", tag = "tokens",
    params(("id" = String, Path)), request_body = CancelToken,
    responses((status = OK, body = TokenAnswer), Refusals))]
pub(crate) async fn cancel_token(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<TokenId>,
    _: Json<CancelToken>,
) -> Result<Answer<TokenAnswer>, ApiError> {
    let at = control.moment()?;
    let token = tokens::cancel(&control.store, caller.scope(), id, at).await?;
    Ok(Answer(TokenAnswer {
        token: view::token(&token),
    }))
}
