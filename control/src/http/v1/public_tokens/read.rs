//! `GET /public-tokens`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::Page;
use helmr_api::http::public_tokens::{ListPublicTokens, PublicToken, PublicTokenAnswer};
use helmr_domain::PublicTokenId;
use helmr_store::public_tokens;

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{self, Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, refusal};

/// Lists public access tokens, newest first, those that came with tokens too.
#[utoipa::path(get, path = "/api/v1/public-tokens", operation_id = "list_public_tokens", tag = "public-tokens",
    params(ListPublicTokens), responses((status = OK, body = Page<PublicToken>), Refusals))]
pub(crate) async fn list_public_tokens(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<ListPublicTokens>,
) -> Result<Json<Page<PublicToken>>, ApiError> {
    let filter = public_tokens::Filter {
        token: parameters::id("token_id", query.token_id)?,
        session: parameters::id("session_id", query.session_id)?,
    };
    let before: Option<PublicTokenId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = public_tokens::list(&control.store, caller.scope(), filter, before, limit).await?;
    Ok(Json(cursor::page(page, view::public_token)))
}

/// Gives what is known of one public access token; the token itself is not.
#[utoipa::path(get, path = "/api/v1/public-tokens/{id}", operation_id = "get_public_token", tag = "public-tokens",
    params(("id" = String, Path)), responses((status = OK, body = PublicTokenAnswer), Refusals))]
pub(crate) async fn get_public_token(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PublicTokenId>,
) -> Result<Json<PublicTokenAnswer>, ApiError> {
    let token = public_tokens::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("public access token"))?;
    Ok(Json(PublicTokenAnswer {
        public_token: view::public_token(&token),
    }))
}
