//! `PUT /workspaces/{id}/files/content` and `POST /workspaces/{id}/files/append`.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use helmr_api::http::files::{AppendFile, FileAnswer, WriteFile};
use helmr_api::worker::files::Change;
use helmr_domain::WorkspaceId;
use http::HeaderMap;

use super::headers;
use super::read::{read_head, subject};
use crate::http::caller::Caller;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::files;
use crate::{ApiError, Control};

/// Writes a file as a whole: readers see the old bytes or the new ones. With `If-Match` only over the revision that it
/// names, with `If-None-Match: *` only where nothing is.
#[utoipa::path(put, path = "/api/v1/workspaces/{id}/files/content", operation_id = "write_file", tag = "files",
    params(("id" = String, Path), WriteFile, ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn write_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<WriteFile>,
    given: HeaderMap,
    body: Body,
) -> Result<Answer<FileAnswer>, ApiError> {
    let change = Change::Write {
        path: query.path,
        mode: query.mode.map(|mode| mode.0),
        parents: query.parents.unwrap_or_default(),
        condition: headers::condition(&given)?,
    };
    let subject = subject(&control, &caller, workspace);
    let head = files::change(&subject, change, Some(body)).await?;
    let file = read_head(&head)?;
    Ok(Answer(FileAnswer { file }))
}

/// Adds bytes at the end of a file, which is made if it is missing.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/files/append", operation_id = "append_file", tag = "files",
    params(("id" = String, Path), AppendFile, ("If-Match" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn append_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<AppendFile>,
    given: HeaderMap,
    body: Body,
) -> Result<Answer<FileAnswer>, ApiError> {
    let change = Change::Append {
        path: query.path,
        offset: query.offset,
        parents: query.parents.unwrap_or_default(),
        condition: headers::condition(&given)?,
    };
    let subject = subject(&control, &caller, workspace);
    let head = files::change(&subject, change, Some(body)).await?;
    let file = read_head(&head)?;
    Ok(Answer(FileAnswer { file }))
}
