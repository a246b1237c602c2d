//! `POST /workspaces`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::workspaces::{CreateWorkspace, WorkspaceAnswer};
use helmr_store::idempotency::{Kept, Render};
use helmr_store::workspaces::Workspace;
use serde_json::json;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Makes a workspace from a sandbox of the promoted deployment. It costs nothing until something runs in it.
#[utoipa::path(post, path = "/api/v1/workspaces", operation_id = "create_workspace", tag = "workspaces",
    request_body = CreateWorkspace, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn create_workspace(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<CreateWorkspace>,
) -> Result<Response, ApiError> {
    let request = key.of("create_workspace", &body.sent)?;
    let render: Render<Workspace> = Arc::new(|made| json!(view::answer(made)));
    let made = ops::workspaces::create(
        &control,
        caller.scope(),
        body.value,
        request,
        Arc::clone(&render),
    )
    .await?;
    Ok(match made {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(made) => {
            tracing::info!("workspace.id" = %made.id, "workspace made");
            idempotency::created(&view::answer(&made))
        }
    })
}
