//! What the control plane may ask of a worker, over the connection that the worker opened.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use helmr_api::error::{ErrorBody, ErrorDetail};
use helmr_api::worker::{Assignment, CaptureFiles, ImportImage};
use helmr_domain::WorkspaceId;
use helmr_machine::Driver;

use crate::dispatcher::{Dispatcher, NotTaken};
use crate::{files, import, slot, workspace};

/// An assignment carries the outcomes of waits, each up to a record's size.
const BODY_BYTES: usize = 64 << 20;

pub(crate) fn routes<D: Driver>(dispatcher: Arc<Dispatcher<D>>) -> Router {
    Router::new()
        .route(
            "/v1/assignments/{workspace_id}",
            put(assign::<D>).delete(unassign::<D>),
        )
        .route(
            "/v1/workspaces/{workspace_id}/capture",
            post(capture_files::<D>),
        )
        .route("/v1/images/import", post(import_image::<D>))
        .route("/v1/health", get(health::<D>))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        // Their bodies are streams, bounded by the workspace's disk.
        .route("/v1/files/{workspace_id}", post(work_on_files::<D>))
        .with_state(dispatcher)
}

async fn assign<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
    Path(workspace_id): Path<WorkspaceId>,
    Json(assignment): Json<Assignment>,
) -> Response {
    if assignment.workspace_id != workspace_id {
        let message = "the assignment is of another workspace than its path says";
        return refuse(StatusCode::BAD_REQUEST, "invalid_body", message.to_owned());
    }
    match dispatcher.assign(assignment) {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(NotTaken::Draining) => refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "shutting_down",
            "the worker is going away".to_owned(),
        ),
    }
}

/// Nothing of the workspace is leased to this worker any more. The message carries no epoch and may come late, so it
/// only has the truth asked for.
async fn unassign<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
    Path(_workspace_id): Path<WorkspaceId>,
) -> StatusCode {
    dispatcher.base().renew.notify_one();
    StatusCode::NO_CONTENT
}

/// Stores the files that lie here, whether a machine works on them or not.
async fn capture_files<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
    Path(workspace_id): Path<WorkspaceId>,
    Json(asked): Json<CaptureFiles>,
) -> Response {
    let Some(keys) = slot::keys(&asked.data_key) else {
        let message = "the environment's key is not a key".to_owned();
        return refuse(StatusCode::BAD_REQUEST, "invalid_body", message);
    };
    let base = dispatcher.base();
    let directory = base.directory.workspace(workspace_id);
    let stored =
        workspace::store_as_is(&base.disks, workspace_id, directory, &base.artifacts, keys).await;
    match stored {
        Ok(captured) => Json(captured).into_response(),
        Err(error) if error.is_not_found() => refuse(
            StatusCode::NOT_FOUND,
            "workspace_not_found",
            "the workspace's files are not on this worker".to_owned(),
        ),
        Err(error) => {
            tracing::error!(workspace.id = %workspace_id, error = describe(&error), "files could not be stored");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the worker could not store the files; its log says why".to_owned(),
            )
        }
    }
}

async fn import_image<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
    Json(image): Json<ImportImage>,
) -> Response {
    match import::import(dispatcher.base(), &image.archive_manifest).await {
        Ok(imported) => Json(imported).into_response(),
        Err(import::Error::Archive { code, message }) => {
            refuse(StatusCode::UNPROCESSABLE_ENTITY, code, message)
        }
        Err(error) => {
            tracing::error!(error = describe(&error), "an image could not be imported");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "the worker could not import the image; its log says why".to_owned(),
            )
        }
    }
}

async fn work_on_files<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
    Path(workspace_id): Path<WorkspaceId>,
    body: Body,
) -> Response {
    let Ok((head, bytes)) = helmr_files::unframed(body).await else {
        let message = "the request has no head".to_owned();
        return refuse(StatusCode::BAD_REQUEST, "invalid_body", message);
    };
    let request = match serde_json::from_slice(&head) {
        Ok(request) => request,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, "invalid_body", error.to_string());
        }
    };
    match files::perform(dispatcher.base(), workspace_id, request, bytes).await {
        Ok(reply) => helmr_files::framed(&reply.head, reply.body).into_response(),
        Err(refusal) => {
            if let Some(cause) = refusal.cause {
                tracing::error!(workspace.id = %workspace_id, cause, "work on files failed");
            }
            let status = StatusCode::from_u16(refusal.code.kind().status())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let error = ErrorDetail {
                code: refusal.code.as_str().to_owned(),
                message: refusal.message,
                details: refusal.details,
                request_id: None,
            };
            (status, Json(ErrorBody { error })).into_response()
        }
    }
}

async fn health<D: Driver>(
    State(dispatcher): State<Arc<Dispatcher<D>>>,
) -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "workspaces": dispatcher.leases().len(),
        "draining": dispatcher.base().draining.is_cancelled(),
    }))
}

fn refuse(status: StatusCode, code: &str, message: String) -> Response {
    let error = ErrorDetail {
        code: code.to_owned(),
        message,
        details: None,
        request_id: None,
    };
    (status, Json(ErrorBody { error })).into_response()
}

/// An error with its causes.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
