//! `GET /sessions` and what hangs below it.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::runs::Run;
use helmr_api::http::sessions::{ListSessions, Session, SessionAnswer};
use helmr_domain::{RunId, SessionId};
use helmr_store::{runs, sessions};

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{self, Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::runs::view as run_view;
use crate::{ApiError, Control, refusal};

/// Lists sessions, newest first.
#[utoipa::path(get, path = "/api/v1/sessions", operation_id = "list_sessions", tag = "sessions",
    params(ListSessions), responses((status = OK, body = Page<Session>), Refusals))]
pub(crate) async fn list_sessions(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<ListSessions>,
) -> Result<Json<Page<Session>>, ApiError> {
    let filter = sessions::Filter {
        status: query.status.map(|status| status.as_str().to_owned()),
        task_id: query.task,
        external_id: query.external_id,
        workspace: parameters::id("workspace_id", query.workspace_id)?,
        tag: query.tag,
    };
    let before: Option<SessionId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = sessions::list(&control.store, caller.scope(), filter, before, limit).await?;
    Ok(Json(cursor::page(page, view::session)))
}

/// Gives one session.
#[utoipa::path(get, path = "/api/v1/sessions/{id}", operation_id = "get_session", tag = "sessions",
    params(("id" = String, Path)), responses((status = OK, body = SessionAnswer), Refusals))]
pub(crate) async fn get_session(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
) -> Result<Json<SessionAnswer>, ApiError> {
    let session = find(&control, &caller, id).await?;
    Ok(Json(view::answer(&session)))
}

/// Lists the runs of a session, newest first.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/runs", operation_id = "list_session_runs", tag = "sessions",
    params(("id" = String, Path), PageQuery), responses((status = OK, body = Page<Run>), Refusals))]
pub(crate) async fn list_session_runs(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Run>>, ApiError> {
    find(&control, &caller, id).await?;
    let filter = runs::Filter {
        session: Some(id),
        ..runs::Filter::default()
    };
    let before: Option<RunId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = runs::list(&control.store, caller.scope(), filter, before, limit).await?;
    let now = control.now();
    Ok(Json(cursor::page(page, |run| run_view::run(run, now))))
}

pub(super) async fn find(
    control: &Control,
    caller: &Caller,
    id: SessionId,
) -> Result<sessions::Session, ApiError> {
    sessions::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("session"))
}
