//! `GET /tokens`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::Page;
use helmr_api::http::tokens::{ListTokens, Token, TokenAnswer, TokenStatus};
use helmr_domain::TokenId;
use helmr_store::tokens;

use super::view;
use crate::http::caller::Access;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{self, Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, refusal};

/// Lists tokens, newest first.
#[utoipa::path(get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "tokens",
    params(ListTokens), responses((status = OK, body = Page<Token>), Refusals))]
pub(crate) async fn list_tokens(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<ListTokens>,
) -> Result<Json<Page<Token>>, ApiError> {
    let status = query.status.map(|status| {
        match status {
            TokenStatus::Pending => "pending",
            TokenStatus::Completed => "completed",
            TokenStatus::Expired => "expired",
            TokenStatus::Cancelled => "cancelled",
        }
        .to_owned()
    });
    let filter = tokens::Filter {
        status,
        run: parameters::id("run_id", query.run_id)?,
        session: parameters::id("session_id", query.session_id)?,
        tag: query.tag,
    };
    let before: Option<TokenId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = tokens::list(&control.store, caller.scope(), filter, before, limit).await?;
    Ok(Json(cursor::page(page, view::token)))
}

/// Gives one token, without its secrets.
#[utoipa::path(get, path = "/api/v1/tokens/{id}", operation_id = "get_token", tag = "tokens",
    params(("id" = String, Path)), responses((status = OK, body = TokenAnswer), Refusals))]
pub(crate) async fn get_token(
    State(control): State<Control>,
    access: Access,
    Path(id): Path<TokenId>,
) -> Result<Json<TokenAnswer>, ApiError> {
    access.allow_token(id)?;
    let token = tokens::get(&control.store, access.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("token"))?;
    Ok(Json(TokenAnswer {
        token: view::token(&token),
    }))
}
