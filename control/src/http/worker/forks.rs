//! Reports on copies of machines. Each may come again: what it says is done once.

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::Response;
use helmr_api::fault;
use helmr_api::worker::{ForkFailed, ForkSettled, Forked, MachineReport, SettleFork};
use helmr_domain::WorkspaceId;
use helmr_store::forks;
use http::StatusCode;
use serde_json::json;

use super::caller::WorkerCaller;
use super::machines::{captured, fence};
use crate::http::body::Json;
use crate::http::parameters::Path;
use crate::{ApiError, Control};

pub(super) async fn forked(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Forked>>,
) -> Result<StatusCode, ApiError> {
    let fence = fence(&caller, workspace, &body.value);
    let forked = body.value.report;
    let timings = &forked.timings_ms;
    let id = forked.workspace_id;
    let input = forks::Forked {
        at: control.moment()?,
        fence,
        workspace_id: id,
        materialization_id: forked.materialization_id,
        checkpoint_id: forked.checkpoint_id,
        checkpoint_size_bytes: forked.checkpoint_size_bytes,
        runtime_identity: forked.runtime_identity,
        version: captured(forked.version),
        timings: json!({
            "pause_ms": timings.pause,
            "capture_ms": timings.capture,
            "checkpoint_ms": timings.checkpoint,
        }),
    };
    fault::point("control.forked.before_commit");
    forks::forked(&control.store, input).await?;
    fault::point("control.forked.after_commit");
    tracing::info!("workspace.id" = %workspace, "fork.id" = %id, "machine forked");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn fork_failed(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<ForkFailed>>,
) -> Result<StatusCode, ApiError> {
    let fence = fence(&caller, workspace, &body.value);
    let ForkFailed {
        workspace_id,
        message,
    } = body.value.report;
    tracing::warn!("workspace.id" = %workspace, "worker.id" = %caller.id, message, "machine not forked");
    let at = control.moment()?;
    forks::fork_failed(&control.store, fence, workspace_id, &message, at).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn settle(
    State(control): State<Control>,
    _caller: WorkerCaller,
    body: Json<SettleFork>,
) -> Result<Response, ApiError> {
    let id = body.value.materialization_id;
    let made = forks::settle(&control.store, id, control.moment()?).await?;
    Ok(axum::Json(ForkSettled { made }).into_response())
}
