//! `POST /workspaces/{id}/ptys`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::ptys::{CreatePty, PtyAnswer};
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

/// Opens a terminal in a workspace's machine, which is started or woken for it. No session is made.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/ptys", operation_id = "create_pty", tag = "ptys",
    request_body = CreatePty, params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = PtyAnswer), Refusals))]
pub(crate) async fn create_pty(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    key: IdempotencyKey,
    body: Json<CreatePty>,
) -> Result<Response, ApiError> {
    let request = key.of(&format!("create_pty {id}"), &body.sent)?;
    let render: Render<Exec> = Arc::new(|made| json!(view::answer(made)));
    let environment = &caller.environment;
    let made = ops::ptys::create(&control, environment, id, body.value, request, render).await?;
    Ok(match made {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(made) => {
            tracing::info!("pty.id" = %made.id, "workspace.id" = %id, "PTY made");
            idempotency::created(&view::answer(&made))
        }
    })
}
