//! `GET /workspaces/{id}/execs` and `GET /execs/{id}`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::execs::{Exec, ExecAnswer, ListExecs};
use helmr_api::http::page::Page;
use helmr_domain::{ExecId, ProcessId, WorkspaceId};
use helmr_store::execs::{self, Kind};
use helmr_store::workspaces;

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, refusal};

/// Lists a workspace's execs, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/execs", operation_id = "list_execs", tag = "execs",
    params(("id" = String, Path), ListExecs), responses((status = OK, body = Page<Exec>), Refusals))]
pub(crate) async fn list_execs(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<ListExecs>,
) -> Result<Json<Page<Exec>>, ApiError> {
    let scope = caller.scope();
    workspaces::get(&control.store, scope, id)
        .await?
        .ok_or_else(|| refusal::not_found("workspace"))?;
    let before: Option<ExecId> = cursor::read(query.cursor.as_deref())?;
    let before = before.map(ProcessId::from);
    let limit = cursor::limit(query.limit)?;
    let page = execs::list(&control.store, scope, (id, Kind::Exec), before, limit).await?;
    Ok(Json(cursor::page(page, view::exec)))
}

/// Gives one exec.
#[utoipa::path(get, path = "/api/v1/execs/{id}", operation_id = "get_exec", tag = "execs",
    params(("id" = String, Path)), responses((status = OK, body = ExecAnswer), Refusals))]
pub(crate) async fn get_exec(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ExecId>,
) -> Result<Json<ExecAnswer>, ApiError> {
    let exec = find(&control, &caller, id).await?;
    Ok(Json(view::answer(&exec)))
}

pub(super) async fn find(
    control: &Control,
    caller: &Caller,
    id: ExecId,
) -> Result<execs::Exec, ApiError> {
    execs::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("exec"))
}
