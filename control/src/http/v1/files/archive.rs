//! `GET` and `PUT /workspaces/{id}/files/archive`: directories as tar archives.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use helmr_api::http::files::{DownloadFiles, UploadFiles, UploadedFiles};
use helmr_api::worker::files::{Change, Look};
use helmr_domain::WorkspaceId;
use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::read::{read_head, subject};
use crate::http::caller::Caller;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::files;
use crate::{ApiError, Control};

/// Gives a directory with everything in it, or a file, as a tar. Paths in it begin in the directory. An answer that is cut
/// off lacks the archive's end.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files/archive", operation_id = "download_files", tag = "files",
    params(("id" = String, Path), DownloadFiles),
    responses((status = OK, content_type = "application/x-tar", body = Vec<u8>), Refusals))]
pub(crate) async fn download_files(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<DownloadFiles>,
) -> Result<Response, ApiError> {
    let look = Look::Download {
        path: query.path.unwrap_or_default(),
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    let mut answer = Response::new(reply.body.unwrap_or_default());
    let kind = HeaderValue::from_static("application/x-tar");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(answer)
}

/// Unpacks a tar into a directory, which is made if it is missing. Files are replaced one by one, what else is there stays;
/// new ones belong to whom their directory does.
#[utoipa::path(put, path = "/api/v1/workspaces/{id}/files/archive", operation_id = "upload_files", tag = "files",
    params(("id" = String, Path), UploadFiles),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = OK, body = UploadedFiles), Refusals))]
pub(crate) async fn upload_files(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<UploadFiles>,
    body: Body,
) -> Result<Answer<UploadedFiles>, ApiError> {
    let change = Change::Upload {
        path: query.path.unwrap_or_default(),
    };
    let subject = subject(&control, &caller, workspace);
    let head = files::change(&subject, change, Some(body)).await?;
    read_head(&head).map(Answer)
}
