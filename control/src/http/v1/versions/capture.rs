//! `POST /workspaces/{id}/versions`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::versions::CaptureVersion;
use helmr_api::http::workspaces::VersionAnswer;
use helmr_domain::WorkspaceId;
use serde_json::json;

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::http::v1::workspaces::{read, view};
use crate::{ApiError, Control, ops};

/// Makes a version of a workspace's files as they are now. A live machine stands still for as long as that takes and
/// goes on; one that is parked or stopped stays so. The answer comes when the version is durable.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/versions", operation_id = "capture_workspace", tag = "workspaces",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = CaptureVersion, responses((status = CREATED, body = VersionAnswer), Refusals))]
pub(crate) async fn capture_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    key: IdempotencyKey,
    body: Json<CaptureVersion>,
) -> Result<Response, ApiError> {
    let request = key.of(&format!("capture_workspace {id}"), &body.sent)?;
    let environment = &caller.environment;
    let captured =
        ops::versions::capture(&control, environment, id, body.value.message, request).await?;
    let current = read::find(&control, &caller, id).await?.current_version_id;
    let answer = VersionAnswer {
        version: view::version(&captured.version, current),
    };
    if captured.again {
        return Ok(idempotency::replayed(json!(answer)));
    }
    tracing::info!("workspace.id" = %id, "version.id" = %captured.version.id, "version captured");
    Ok(idempotency::created(&answer))
}
