//! `GET /workspaces/{id}/ptys` and `GET /ptys/{id}`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::Page;
use helmr_api::http::ptys::{ListPtys, Pty, PtyAnswer};
use helmr_domain::{ProcessId, PtyId, WorkspaceId};
use helmr_store::execs::{self, Kind};
use helmr_store::workspaces;

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, refusal};

/// Lists a workspace's PTYs, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/ptys", operation_id = "list_ptys", tag = "ptys",
    params(("id" = String, Path), ListPtys), responses((status = OK, body = Page<Pty>), Refusals))]
pub(crate) async fn list_ptys(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<ListPtys>,
) -> Result<Json<Page<Pty>>, ApiError> {
    let scope = caller.scope();
    workspaces::get(&control.store, scope, id)
        .await?
        .ok_or_else(|| refusal::not_found("workspace"))?;
    let before: Option<PtyId> = cursor::read(query.cursor.as_deref())?;
    let before = before.map(ProcessId::from);
    let limit = cursor::limit(query.limit)?;
    let page = execs::list(&control.store, scope, (id, Kind::Pty), before, limit).await?;
    Ok(Json(cursor::page(page, view::pty)))
}

/// Gives one PTY.
#[utoipa::path(get, path = "/api/v1/ptys/{id}", operation_id = "get_pty", tag = "ptys",
    params(("id" = String, Path)), responses((status = OK, body = PtyAnswer), Refusals))]
pub(crate) async fn get_pty(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
) -> Result<Json<PtyAnswer>, ApiError> {
    let pty = find(&control, &caller, id).await?;
    Ok(Json(view::answer(&pty)))
}

pub(super) async fn find(
    control: &Control,
    caller: &Caller,
    id: PtyId,
) -> Result<execs::Exec, ApiError> {
    execs::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("pty"))
}
