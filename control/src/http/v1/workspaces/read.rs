//! `GET /workspaces` and `GET /workspaces/{id}`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::Page;
use helmr_api::http::workspaces::{ListWorkspaces, Workspace, WorkspaceAnswer, WorkspaceState};
use helmr_domain::WorkspaceId;
use helmr_store::workspaces;

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, refusal};

/// Lists workspaces, newest first. Deleted ones are listed only when that state is asked for.
#[utoipa::path(get, path = "/api/v1/workspaces", operation_id = "list_workspaces", tag = "workspaces",
    params(ListWorkspaces), responses((status = OK, body = Page<Workspace>), Refusals))]
pub(crate) async fn list_workspaces(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<ListWorkspaces>,
) -> Result<Json<Page<Workspace>>, ApiError> {
    let filter = workspaces::Filter {
        state: query.state.map(|state| match state {
            WorkspaceState::Active => workspaces::State::Active,
            WorkspaceState::Archived => workspaces::State::Archived,
            WorkspaceState::RecoveryRequired => workspaces::State::RecoveryRequired,
            WorkspaceState::Deleted => workspaces::State::Deleted,
        }),
        sandbox: query.sandbox,
        external_id: query.external_id,
        tag: query.tag,
    };
    let before: Option<WorkspaceId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = workspaces::list(&control.store, caller.scope(), filter, before, limit).await?;
    Ok(Json(cursor::page(page, view::workspace)))
}

/// Gives one workspace, with its machine. A deleted one is given too, in that state.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}", operation_id = "get_workspace", tag = "workspaces",
    params(("id" = String, Path)), responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn get_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
) -> Result<Json<WorkspaceAnswer>, ApiError> {
    let workspace = find(&control, &caller, id).await?;
    Ok(Json(view::answer(&workspace)))
}

pub(in crate::http::v1) async fn find(
    control: &Control,
    caller: &Caller,
    id: WorkspaceId,
) -> Result<workspaces::Workspace, ApiError> {
    workspaces::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("workspace"))
}
