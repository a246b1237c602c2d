//! `GET /workspaces/{id}/diff` and `GET /workspaces/{id}/diff/text`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::stream;
use helmr_api::http::page::Page;
use helmr_api::http::versions::{DiffQuery, DiffTextQuery, FileChange};
use helmr_domain::{VersionId, WorkspaceId};
use http::header::CONTENT_TYPE;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::workspaces::read;
use crate::ops::versions::diff::{self, Place};
use crate::ops::versions::files::Which;
use crate::{ApiError, Control};

fn which(from: Option<VersionId>, to: Option<VersionId>) -> (Which, Which) {
    (
        from.map_or(Which::Last, Which::Version),
        to.map_or(Which::Now, Which::Version),
    )
}

/// Lists what differs between two versions of a workspace's files, or a version and the files as they are now: paths in
/// order, with their sizes. Times do not count. Nothing is woken for it.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/diff", operation_id = "diff_workspace", tag = "workspaces",
    params(("id" = String, Path), DiffQuery), responses((status = OK, body = Page<FileChange>), Refusals))]
pub(crate) async fn diff_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<DiffQuery>,
) -> Result<Json<Page<FileChange>>, ApiError> {
    let workspace = read::find(&control, &caller, id).await?;
    let limit = cursor::limit(query.limit)?;
    let place: Option<String> = cursor::read(query.cursor.as_deref())?;
    let begin = match place {
        // What is there now may be another by now: the list goes on between what it began with.
        Some(place) => Place::read(&place)?.into_parts(),
        None => {
            let which = which(query.from, query.to);
            diff::pair(&control, &caller.environment, &workspace, which)
                .await?
                .whole()
        }
    };
    let page = diff::list(&control, &caller.environment, begin, limit).await?;
    Ok(Json(Page {
        items: page.items,
        next_cursor: page.next_cursor.map(|next| URL_SAFE_NO_PAD.encode(next)),
    }))
}

/// Gives what differs as unified text, as `git diff` does. Files over 1 MiB and those that are not text are named only.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/diff/text", operation_id = "diff_workspace_text", tag = "workspaces",
    params(("id" = String, Path), DiffTextQuery),
    responses((status = OK, body = String, content_type = "text/x-diff"), Refusals))]
pub(crate) async fn diff_workspace_text(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<DiffTextQuery>,
) -> Result<Response, ApiError> {
    let workspace = read::find(&control, &caller, id).await?;
    let which = which(query.from, query.to);
    let pair = diff::pair(&control, &caller.environment, &workspace, which).await?;
    let pieces = diff::text(&control, &caller.environment, pair);
    let pieces = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    let head = [(CONTENT_TYPE, "text/x-diff; charset=utf-8")];
    Ok((head, Body::from_stream(pieces)).into_response())
}
