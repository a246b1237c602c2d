//! `GET /workspaces/{id}/files/glob` and `…/search`.

use axum::Json;
use axum::extract::State;
use helmr_api::error::Code;
use helmr_api::http::files::{File, FileMatch, GlobFiles, PathText, SearchFiles};
use helmr_api::http::page::Page;
use helmr_api::worker::files::{Found, Look, Place};
use helmr_domain::WorkspaceId;

use super::read::{after, page, read_head, subject};
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::files;
use crate::{ApiError, Control};

/// Finds files by a pattern of their paths. What takes longer than ten seconds comes in more pages, some of them short.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files/glob", operation_id = "glob_files", tag = "files",
    params(("id" = String, Path), GlobFiles), responses((status = OK, body = Page<File>), Refusals))]
pub(crate) async fn glob_files(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<GlobFiles>,
) -> Result<Json<Page<File>>, ApiError> {
    let look = Look::Glob {
        path: query.path.unwrap_or_default(),
        pattern: query.pattern,
        after: after(query.cursor.as_deref())?,
        limit: cursor::limit(query.limit)?,
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    page(&reply.head).map(Json)
}

/// Finds lines in files; files with zero bytes at their beginning are passed over. What takes longer than ten seconds comes
/// in more pages, some of them short.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/files/search", operation_id = "search_files", tag = "files",
    params(("id" = String, Path), SearchFiles), responses((status = OK, body = Page<FileMatch>), Refusals))]
pub(crate) async fn search_files(
    State(control): State<Control>,
    caller: Caller,
    Path(workspace): Path<WorkspaceId>,
    Query(query): Query<SearchFiles>,
) -> Result<Json<Page<FileMatch>>, ApiError> {
    let look = Look::Search {
        path: query.path.unwrap_or_default(),
        query: query.query,
        regex: query.regex.unwrap_or_default(),
        ignore_case: query.ignore_case.unwrap_or_default(),
        glob: query.glob,
        after: place(query.cursor.as_deref())?,
        limit: cursor::limit(query.limit)?,
    };
    let subject = subject(&control, &caller, workspace);
    let reply = files::look(&subject, query.version, look).await?;
    let found: Found = read_head(&reply.head)?;
    let next = found
        .next
        .map(|next| format!("{}:{}", next.line, next.path));
    Ok(Json(Page {
        items: found.items,
        next_cursor: next.as_deref().map(cursor::opaque),
    }))
}

/// Reads the line behind which a search goes on.
fn place(cursor: Option<&str>) -> Result<Option<Place>, ApiError> {
    let text: Option<String> = cursor::read(cursor)?;
    text.map(|text| {
        let (line, path) = text.split_once(':')?;
        let Ok(path) = path.parse::<PathText>();
        Some(Place {
            path,
            line: line.parse().ok()?,
        })
    })
    .map(|place| {
        place
            .ok_or_else(|| ApiError::new(Code::InvalidCursor, "the cursor is not one of this list"))
    })
    .transpose()
}
