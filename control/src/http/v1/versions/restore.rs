//! `POST /workspaces/{id}/restore`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::versions::{RestoreWorkspace, RestoredAnswer};
use helmr_domain::WorkspaceId;
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::workspaces::{self, End, Restore, Restored};
use serde_json::json;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::http::v1::workspaces::view;
use crate::ops::bounds;
use crate::{ApiError, Control};

pub(super) fn answer(restored: &Restored) -> RestoredAnswer {
    let current = restored.workspace.current_version_id;
    RestoredAnswer {
        workspace: view::workspace(&restored.workspace),
        version: view::version(&restored.version, current),
    }
}

/// Makes a workspace's files those of an earlier version again, as a new version. Its machine is told to stop; what is
/// written in it until then is kept as a version beside. The next machine begins with the restored files.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/restore", operation_id = "restore_workspace", tag = "workspaces",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = RestoreWorkspace, responses((status = CREATED, body = RestoredAnswer), Refusals))]
pub(crate) async fn restore_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    key: IdempotencyKey,
    body: Json<RestoreWorkspace>,
) -> Result<Response, ApiError> {
    let request = key.of(&format!("restore_workspace {id}"), &body.sent)?;
    let RestoreWorkspace {
        version_id,
        message,
        force,
    } = body.value;
    bounds::message(message.as_deref())?;
    let input = Restore {
        end: End {
            at: control.moment()?,
            scope: caller.scope(),
            workspace: id,
            force,
        },
        version: version_id,
        message,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: Arc::new(|restored: &Restored| json!(answer(restored))),
        }),
    };
    Ok(match workspaces::restore(&control.store, input).await? {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(restored) => {
            tracing::info!("workspace.id" = %id, "version.id" = %version_id, "workspace restored");
            idempotency::created(&answer(&restored))
        }
    })
}
