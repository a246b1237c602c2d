//! `POST /workspaces/{id}/stop`, `…/archive`, `…/unarchive` and `DELETE /workspaces/{id}`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::workspaces::{
    ArchiveWorkspace, DeleteWorkspace, StopWorkspace, UnarchiveWorkspace, WorkspaceAnswer,
};
use helmr_domain::WorkspaceId;
use helmr_store::workspaces::{self, End};

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Stops a workspace's machine: a live one captures its files and ends, a parked one is dropped. The answer does not wait
/// for that.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/stop", operation_id = "stop_workspace", tag = "workspaces",
    params(("id" = String, Path)), request_body = StopWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn stop_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    body: Json<StopWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let input = End {
        at: control.moment()?,
        scope: caller.scope(),
        workspace: id,
        force: body.value.force,
    };
    let workspace = workspaces::stop(&control.store, input).await?;
    tracing::info!("workspace.id" = %id, "workspace told to stop");
    Ok(Answer(view::answer(&workspace)))
}

/// Deletes a workspace: its open sessions are cancelled, its machine ends, and its external id is free again. Deleting it
/// again changes nothing.
#[utoipa::path(delete, path = "/api/v1/workspaces/{id}", operation_id = "delete_workspace", tag = "workspaces",
    params(("id" = String, Path), DeleteWorkspace),
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn delete_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<DeleteWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let input = End {
        at: control.moment()?,
        scope: caller.scope(),
        workspace: id,
        force: query.force == Some(true),
    };
    let workspace = workspaces::delete(&control.store, input).await?;
    tracing::info!("workspace.id" = %id, "workspace deleted");
    Ok(Answer(view::answer(&workspace)))
}

/// Archives a workspace: its machine ends, and nothing runs in it until it is unarchived. Its files, versions and sessions
/// stay. Archiving it again changes nothing.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/archive", operation_id = "archive_workspace", tag = "workspaces",
    params(("id" = String, Path)), request_body = ArchiveWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn archive_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    body: Json<ArchiveWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let input = End {
        at: control.moment()?,
        scope: caller.scope(),
        workspace: id,
        force: body.value.force,
    };
    let workspace = workspaces::archive(&control.store, input).await?;
    tracing::info!("workspace.id" = %id, "workspace archived");
    Ok(Answer(view::answer(&workspace)))
}

/// Has an archived workspace be used again. In an active one nothing changes.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/unarchive", operation_id = "unarchive_workspace",
    tag = "workspaces", params(("id" = String, Path)), request_body = UnarchiveWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn unarchive_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    _body: Json<UnarchiveWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let workspace = workspaces::unarchive(&control.store, caller.scope(), id).await?;
    tracing::info!("workspace.id" = %id, "workspace unarchived");
    Ok(Answer(view::answer(&workspace)))
}
