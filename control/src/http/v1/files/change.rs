//! Directories made, files moved, removed and given another mode.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::files::{ChangeMode, FileAnswer, MakeDirectory, MoveFile, RemoveFile};
use helmr_api::worker::files::Change;
use helmr_domain::WorkspaceId;
use http::{HeaderMap, StatusCode};

use super::headers;
use super::read::{read_head, subject};
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::files;
use crate::{ApiError, Control};

/// Makes a directory.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/files/mkdir", operation_id = "make_directory", tag = "files",
    params(("id" = String, Path)), request_body = MakeDirectory,
    responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn make_directory(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MakeDirectory>,
) -> Result<Answer<FileAnswer>, ApiError> {
    let MakeDirectory {
        path,
        mode,
        parents,
    } = body.value;
    let change = Change::MakeDirectory {
        path,
        mode: mode.map(|mode| mode.0),
        parents,
    };
    answer(&control, &caller, workspace, change).await
}

/// Moves a file, a directory or a link. A parked machine is woken for it.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/files/move", operation_id = "move_file", tag = "files",
    params(("id" = String, Path)), request_body = MoveFile,
    responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn move_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MoveFile>,
) -> Result<Answer<FileAnswer>, ApiError> {
    let MoveFile {
        from,
        to,
        overwrite,
    } = body.value;
    let change = Change::Move {
        from,
        to,
        overwrite,
    };
    answer(&control, &caller, workspace, change).await
}

/// Gives a file or a directory another mode.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/files/chmod", operation_id = "change_mode", tag = "files",
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)), request_body = ChangeMode,
    responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn change_mode(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    given: HeaderMap,
    body: Json<ChangeMode>,
) -> Result<Answer<FileAnswer>, ApiError> {
    let ChangeMode { path, mode } = body.value;
    let change = Change::SetMode {
        path,
        mode: mode.0,
        condition: headers::condition(&given)?,
    };
    answer(&control, &caller, workspace, change).await
}

/// Removes a file, a link, an empty directory or, if it is told so, one with everything in it. A parked machine is woken
/// for it.
#[utoipa::path(delete, path = "/api/v1/workspaces/{id}/files", operation_id = "remove_file", tag = "files",
    params(("id" = String, Path), RemoveFile, ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT, description = "It is gone."), Refusals))]
pub(crate) async fn remove_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<RemoveFile>,
    given: HeaderMap,
) -> Result<StatusCode, ApiError> {
    let change = Change::Remove {
        path: query.path,
        recursive: query.recursive.unwrap_or_default(),
        condition: headers::condition(&given)?,
    };
    files::change(&subject(&control, &caller, workspace), change, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn answer(
    control: &Control,
    caller: &Caller,
    workspace: WorkspaceId,
    change: Change,
) -> Result<Answer<FileAnswer>, ApiError> {
    let head = files::change(&subject(control, caller, workspace), change, None).await?;
    let file = read_head(&head)?;
    Ok(Answer(FileAnswer { file }))
}
