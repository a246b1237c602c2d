//! `POST /sessions/{id}/close` and `/cancel`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::sessions::{CancelSession, CloseSession, SessionAnswer};
use helmr_domain::SessionId;
use helmr_store::sessions;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control};

/// Closes a session whose runs have ended. Closing it again changes nothing.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/close", operation_id = "close_session", tag = "sessions",
    params(("id" = String, Path)), request_body = CloseSession,
    responses((status = OK, body = SessionAnswer), Refusals))]
pub(crate) async fn close_session(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    _: Json<CloseSession>,
) -> Result<Answer<SessionAnswer>, ApiError> {
    let at = control.moment()?;
    let session = sessions::close(&control.store, caller.scope(), id, at).await?;
    Ok(Answer(view::answer(&session)))
}

/// Cancels a session and its active run. Cancelling it again changes nothing.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/cancel", operation_id = "cancel_session", tag = "sessions",
    params(("id" = String, Path)), request_body = CancelSession,
    responses((status = OK, body = SessionAnswer), Refusals))]
pub(crate) async fn cancel_session(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    body: Json<CancelSession>,
) -> Result<Answer<SessionAnswer>, ApiError> {
    bounds::reason(body.value.reason.as_deref())?;
    let at = control.moment()?;
    let reason = body.value.reason;
    let session = sessions::cancel(&control.store, caller.scope(), id, reason, at).await?;
    Ok(Answer(view::answer(&session)))
}
