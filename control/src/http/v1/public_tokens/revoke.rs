//! `POST /public-tokens/{id}/revoke`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::public_tokens::{PublicTokenAnswer, RevokePublicToken};
use helmr_domain::PublicTokenId;
use helmr_store::public_tokens;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Revokes a public access token at once: also whoever follows a stream by it stops. Revoking it again changes nothing.
#[utoipa::path(post, path = "/api/v1/public-tokens/{id}/revoke", operation_id = "revoke_public_token",
    tag = "public-tokens", params(("id" = String, Path)), request_body = RevokePublicToken,
    responses((status = OK, body = PublicTokenAnswer), Refusals))]
pub(crate) async fn revoke_public_token(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PublicTokenId>,
    _: Json<RevokePublicToken>,
) -> Result<Answer<PublicTokenAnswer>, ApiError> {
    let at = control.moment()?;
    let token = public_tokens::revoke(&control.store, caller.scope(), id, at).await?;
    Ok(Answer(PublicTokenAnswer {
        public_token: view::public_token(&token),
    }))
}
