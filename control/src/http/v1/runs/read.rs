//! `GET /runs`.

use axum::Json;
use axum::extract::State;
use helmr_api::error::Code;
use helmr_api::http::page::Page;
use helmr_api::http::runs::{ListRuns, Run, RunAnswer};
use helmr_domain::{RunId, SessionId};
use helmr_store::{runs, sessions, tasks};

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops, refusal};

/// Lists runs, newest first.
#[utoipa::path(get, path = "/api/v1/runs", operation_id = "list_runs", tag = "runs",
    params(ListRuns), responses((status = OK, body = Page<Run>), Refusals))]
pub(crate) async fn list_runs(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<ListRuns>,
) -> Result<Json<Page<Run>>, ApiError> {
    let session: Option<SessionId> = query.session_id.map(|id| id.parse()).transpose().map_err(
        |error: helmr_domain::InvalidId| {
            ApiError::new(Code::InvalidQuery, format!("session_id: {error}"))
        },
    )?;
    let filter = runs::Filter {
        session,
        status: query.status.map(view::status),
        task_id: query.task,
    };
    let before: Option<RunId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = runs::list(&control.store, caller.scope(), filter, before, limit).await?;
    let now = control.now();
    Ok(Json(cursor::page(page, |run| view::run(run, now))))
}

/// Gives one run, with its payload.
#[utoipa::path(get, path = "/api/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    params(("id" = String, Path)), responses((status = OK, body = RunAnswer), Refusals))]
pub(crate) async fn get_run(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<RunId>,
) -> Result<Json<RunAnswer>, ApiError> {
    let row = find(&control, &caller, id).await?;
    let mut run = view::run(&row, control.now());
    let scope = caller.scope();
    if let Some(session) = sessions::get(&control.store, scope, row.session_id).await? {
        run.payload = session.payload.as_ref().map(ops::runs::parse).transpose()?;
    }
    if let Some(task) = tasks::get_row(&control.store, scope, row.task_row_id).await? {
        run.secret_names = task.secrets;
    }
    Ok(Json(RunAnswer { run }))
}

pub(super) async fn find(
    control: &Control,
    caller: &Caller,
    id: RunId,
) -> Result<runs::Run, ApiError> {
    runs::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("run"))
}
