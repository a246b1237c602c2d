//! `GET /workspaces/{id}/versions/{version}/archive` and `POST /workspaces/{id}/versions/import`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use helmr_api::http::versions::{ImportQuery, ImportedAnswer};
use helmr_domain::{VersionId, WorkspaceId};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::workspaces::{self, Import, Restored};
use http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use serde_json::json;

use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::{Path, PathPair, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::workspaces::{read, view};
use crate::ops::bounds;
use crate::ops::versions::archive;
use crate::ops::versions::files::{self, Which};
use crate::{ApiError, Control, refusal};

/// Gives a version's files as a tar archive in the POSIX form, with owners, modes, times, links, holes and extended
/// attributes.
#[utoipa::path(get, path = "/api/v1/workspaces/{id}/versions/{version}/archive",
    operation_id = "export_workspace_version", tag = "workspaces",
    params(("id" = String, Path), ("version" = String, Path)),
    responses((status = OK, body = Vec<u8>, content_type = "application/x-tar"), Refusals))]
pub(crate) async fn export_workspace_version(
    State(control): State<Control>,
    caller: Caller,
    PathPair(id, version): PathPair<WorkspaceId, VersionId>,
) -> Result<Response, ApiError> {
    let workspace = read::find(&control, &caller, id).await?;
    let environment = &caller.environment;
    let which = Which::Version(version);
    let manifest = files::manifest_of(&control, environment, &workspace, which)
        .await?
        .ok_or_else(|| refusal::not_found("version"))?;
    let pieces = archive::export(&control, environment, manifest);
    let pieces = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece, pieces))
    });
    let head = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{version}.tar\""),
        ),
    ];
    Ok((head, Body::from_stream(pieces)).into_response())
}

/// Makes a tar archive the files of a workspace that has no machine, as a new version. What they hold may be as large as
/// the workspace's disk.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/versions/import",
    operation_id = "import_workspace_version", tag = "workspaces",
    params(("id" = String, Path), ImportQuery, ("Idempotency-Key" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = CREATED, body = ImportedAnswer), Refusals))]
pub(crate) async fn import_workspace_version(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    Query(query): Query<ImportQuery>,
    key: IdempotencyKey,
    body: Body,
) -> Result<Response, ApiError> {
    bounds::message(query.message.as_deref())?;
    let workspace = read::find(&control, &caller, id).await?;
    workspaces::check_stopped(&workspace)?;
    let environment = &caller.environment;
    let (imported, sha256) = archive::receive(&control, environment, &workspace, body).await?;
    let sent = json!({ "message": query.message, "sha256": sha256 });
    let request = key.of(&format!("import_workspace_version {id}"), &sent)?;
    let answer = move |restored: &Restored| {
        let current = restored.workspace.current_version_id;
        ImportedAnswer {
            workspace: view::workspace(&restored.workspace),
            version: view::version(&restored.version, current),
            entries: imported.entries,
            left_out: imported.left_out,
        }
    };
    let input = Import {
        at: control.moment()?,
        scope: caller.scope(),
        workspace: id,
        message: query.message,
        manifest: imported.id.to_string(),
        size_bytes: imported.size_bytes,
        changed_bytes: imported.size_bytes,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: Arc::new(move |restored: &Restored| json!(answer(restored))),
        }),
    };
    Ok(match workspaces::import(&control.store, input).await? {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(restored) => {
            tracing::info!("workspace.id" = %id, "version.id" = %restored.version.id, "version imported");
            idempotency::created(&answer(&restored))
        }
    })
}
