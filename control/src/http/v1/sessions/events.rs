//! `GET /sessions/{id}/events`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::events::Event;
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::session::State as SessionState;
use helmr_domain::{Scope, SessionId};
use helmr_store::{Subject, sessions};

use super::read;
use crate::http::caller::Caller;
use crate::http::follow::Following;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::{self, Ended};
use crate::{ApiError, Control};

/// Lists what happened to a session beside its runs, oldest first. With `Accept: text/event-stream` it is followed until
/// the session and its last run have ended.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/events", operation_id = "list_session_events", tag = "sessions",
    params(("id" = String, Path), PageQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<Event> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_session_events(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(query): Query<PageQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    read::find(&control, &caller, id).await?;
    let scope = caller.scope();
    let ended = SessionEnded::of(scope, id);
    events::answer(
        &control,
        scope,
        Subject::Session(id),
        &query,
        &following,
        ended,
    )
    .await
}

/// A session that is over, and whose last run is, has no more records and events.
pub(crate) struct SessionEnded {
    scope: Scope,
    id: SessionId,
}

impl SessionEnded {
    pub(crate) const fn of(scope: Scope, id: SessionId) -> Self {
        Self { scope, id }
    }
}

impl Ended for SessionEnded {
    async fn ended(&self, control: &Control) -> Result<bool, ApiError> {
        let session = sessions::get(&control.store, self.scope, self.id).await?;
        Ok(session.is_none_or(|session| {
            session.state != SessionState::Open && session.active_run.is_none()
        }))
    }
}
