//! What the control plane may ask of a worker, over the connection that the worker opened.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use helmr_api::error::{ErrorBody, ErrorDetail};
use helmr_api::worker::{Assignment, ImportImage};
use helmr_domain::WorkspaceId;
use helmr_machine::Driver;

use crate::dispatcher::{Dispatcher, NotTaken};
use crate::import;

/// An assignment carries the outcomes of waits, each up to a record's size.
const BODY_BYTES: usize = 64 << 20;

pub(crate) fn routes<D: Driver>(dispatcher: Arc<Dispatcher<D>>) -> Router {
    Router::new()
        .route(
            "/v1/assignments/{workspace_id}",
            put(assign::<D>).delete(unassign::<D>),
        )
        .route("/v1/images/import", post(import_image::<D>))
        .route("/v1/health", get(health::<D>))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
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
