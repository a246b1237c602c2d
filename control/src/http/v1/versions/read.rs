//! `GET /workspaces/{id}/versions` and `GET /workspaces/{id}/versions/{version}`.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::workspaces::{Version, VersionAnswer};
use helmr_domain::{VersionId, WorkspaceId};
use helmr_store::workspaces;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, PathPair, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::workspaces::{read, view};
use crate::{ApiError, Control, refusal};

/// Lists the versions of a workspace's files, newest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/versions", operation_id = "list_workspace_versions",
    tag = "workspaces", params(("id" = String, Path), PageQuery),
    responses((status = OK, body = Page<Version>), Refusals))]
pub(crate) async fn list_workspace_versions(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Version>>, ApiError> {
    let current = read::find(&control, &caller, id).await?.current_version_id;
    let before: Option<VersionId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = workspaces::versions(&control.store, caller.scope(), id, before, limit).await?;
    Ok(Json(cursor::page(page, |row| view::version(row, current))))
}

/// Gives one version of a workspace's files.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/versions/{version}", operation_id = "get_workspace_version",
    tag = "workspaces", params(("id" = String, Path), ("version" = String, Path)),
    responses((status = OK, body = VersionAnswer), Refusals))]
pub(crate) async fn get_workspace_version(
    State(control): State<Control>,
    caller: Caller,
    PathPair(id, version): PathPair<WorkspaceId, VersionId>,
) -> Result<Json<VersionAnswer>, ApiError> {
    let current = read::find(&control, &caller, id).await?.current_version_id;
    let found = workspaces::version(&control.store, caller.scope(), id, version).await?;
    let found = found.ok_or_else(|| refusal::not_found("version"))?;
    Ok(Json(VersionAnswer {
        version: view::version(&found, current),
    }))
}
