//! `POST /workspaces/{id}/execs`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::execs::{CreateExec, ExecAnswer};
use helmr_domain::WorkspaceId;
use helmr_store::execs::Exec;
use helmr_store::idempotency::{Kept, Render};
use serde_json::json;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Runs a command in a workspace's machine, which is started or woken for it. No session is made.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/execs", operation_id = "create_exec", tag = "execs",
    request_body = CreateExec, params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = ExecAnswer), Refusals))]
pub(crate) async fn create_exec(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    key: IdempotencyKey,
    body: Json<CreateExec>,
) -> Result<Response, ApiError> {
    let request = key.of(&format!("create_exec {id}"), &body.sent)?;
    let render: Render<Exec> = Arc::new(|made| json!(view::answer(made)));
    let environment = &caller.environment;
    let made = ops::execs::create(&control, environment, id, body.value, request, render).await?;
    Ok(match made {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(made) => {
            tracing::info!("exec.id" = %made.id, "workspace.id" = %id, "exec made");
            idempotency::created(&view::answer(&made))
        }
    })
}
