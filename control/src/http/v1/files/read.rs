//! `GET /workspaces/{id}/files`, `…/stat` and `…/content`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::files::{File, FileAnswer, ListFiles, PathText, ReadFile, StatFile};
use helmr_api::http::page::Page;
use helmr_api::worker::files::{FilesPage, Look, Reading};
use helmr_domain::WorkspaceId;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;

use super::headers;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::files::{self, Subject};
use crate::{ApiError, Control};

/// Lists a directory of a workspace by name.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files", operation_id = "list_files", tag = "files",
    params(("id" = String, Path), ListFiles), responses((status = OK, body = Page<File>), Refusals))]
pub(crate) async fn list_files(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<ListFiles>,
) -> Result<Json<Page<File>>, ApiError> {
    let look = Look::List {
        path: query.path.unwrap_or_default(),
        after: after(query.cursor.as_deref())?,
        limit: cursor::limit(query.limit)?,
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    page(&reply.head).map(Json)
}

/// Tells what is at a path: of a link the link itself, unless it is to be followed.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files/stat", operation_id = "stat_file", tag = "files",
    params(("id" = String, Path), StatFile), responses((status = OK, body = FileAnswer), Refusals))]
pub(crate) async fn stat_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<StatFile>,
) -> Result<Json<FileAnswer>, ApiError> {
    let look = Look::Stat {
        path: query.path.unwrap_or_default(),
        follow: query.follow.unwrap_or_default(),
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    let file = read_head(&reply.head)?;
    Ok(Json(FileAnswer { file }))
}

/// Reads a file, or with `Range` a part of it.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files/content", operation_id = "read_file", tag = "files",
    params(("id" = String, Path), ReadFile, ("Range" = Option<String>, Header), ("If-None-Match" = Option<String>, Header)),
    responses((status = OK, content_type = "application/octet-stream", body = Vec<u8>),
        (status = PARTIAL_CONTENT, content_type = "application/octet-stream", body = Vec<u8>),
        (status = NOT_MODIFIED, description = "The caller has this revision."), Refusals))]
pub(crate) async fn read_file(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<ReadFile>,
    given: HeaderMap,
) -> Result<Response, ApiError> {
    let known = headers::known(&given)?;
    let span = headers::span(&given)?;
    let look = Look::Read {
        path: query.path,
        span,
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    let reading: Reading = read_head(&reply.head)?;
    let revision = &reading.file.revision;
    let mut answer = if known.as_ref() == Some(revision) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        bytes(&reading, reply.body.unwrap_or_default())
    };
    let headers = answer.headers_mut();
    if let Some(tag) = headers::tag(revision) {
        headers.insert(ETAG, tag);
    }
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(answer)
}

fn bytes(reading: &Reading, body: Body) -> Response {
    let size = reading.file.size_bytes;
    let whole = reading.len == size;
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    // A browser that is led here shows nothing of it.
    headers.insert(
        HeaderName::from_static("x-content-type-options"),
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(reading.len));
    if !whole {
        let end = reading.start + reading.len;
        let range = format!("bytes {}-{}/{size}", reading.start, end.saturating_sub(1));
        if let Ok(range) = HeaderValue::from_str(&range) {
            headers.insert(CONTENT_RANGE, range);
        }
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    answer
}

pub(super) fn subject<'a>(
    control: &'a Control,
    caller: &'a Caller,
    workspace: WorkspaceId,
) -> Subject<'a> {
    Subject {
        control,
        environment: &caller.environment,
        workspace,
    }
}

/// Reads what a worker, or the control plane itself, answered.
pub(super) fn read_head<T: DeserializeOwned>(head: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(head).map_err(|error| ApiError::internal(&error))
}

pub(super) fn page<T: DeserializeOwned>(head: &[u8]) -> Result<Page<T>, ApiError> {
    let page: FilesPage<T> = read_head(head)?;
    Ok(Page {
        items: page.items,
        next_cursor: page.next.map(|path| cursor::opaque(&path.to_string())),
    })
}

/// Reads the path behind which a list goes on.
pub(super) fn after(cursor: Option<&str>) -> Result<Option<PathText>, ApiError> {
    let after: Option<PathText> = cursor::read(cursor)?;
    if after
        .as_ref()
        .is_some_and(|path| path.as_bytes().is_empty())
    {
        return Err(ApiError::new(
            Code::InvalidCursor,
            "the cursor is not one of this list",
        ));
    }
    Ok(after)
}
