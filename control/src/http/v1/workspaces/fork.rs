//! `POST /workspaces/{id}/fork`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::workspaces::{ForkAnswer, ForkWorkspace};
use helmr_domain::WorkspaceId;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::forks::{self, Answered};
use crate::{ApiError, Control};

/// Makes a workspace that begins as a copy of this one: of a version of its files, at once and without copying a byte, or,
/// live, of its machine as it stands, with its memory, every process in it and its sessions. A live fork copies whatever
/// secrets are in that memory.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/fork", operation_id = "fork_workspace", tag = "workspaces",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = ForkWorkspace,
    responses((status = CREATED, body = ForkAnswer), Refusals))]
pub(crate) async fn fork_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    key: IdempotencyKey,
    body: Json<ForkWorkspace>,
) -> Result<Response, ApiError> {
    let request = key.of(&format!("fork_workspace {id}"), &body.sent)?;
    let answered = forks::fork(&control, caller.scope(), id, body.value, request).await?;
    Ok(match answered {
        Answered::Replayed(answer) => idempotency::replayed(answer),
        Answered::Fresh(answer) => {
            tracing::info!("workspace.id" = %id, "fork.id" = %answer.workspace.id, live = answer.fork.live, "workspace forked");
            idempotency::created(&answer)
        }
    })
}
