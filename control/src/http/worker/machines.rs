//! Reports on machines. Each may come again: what it says is done once.

use axum::extract::State;
use helmr_api::fault;
use helmr_api::worker::{self as wire, Files, MachineFailed, MachineReport, Nothing, Parked};
use helmr_domain::WorkspaceId;
use helmr_store::worker::{self, MachineFence};
use http::StatusCode;
use serde_json::json;

use super::caller::WorkerCaller;
use crate::http::body::Json;
use crate::http::parameters::Path;
use crate::{ApiError, Control};

type Done = Result<StatusCode, ApiError>;

const DONE: Done = Ok(StatusCode::NO_CONTENT);

pub(super) fn fence<T>(
    caller: &WorkerCaller,
    workspace: WorkspaceId,
    body: &MachineReport<T>,
) -> MachineFence {
    MachineFence {
        lease: caller.fence(workspace, body.epoch),
        materialization_id: body.materialization_id,
    }
}

fn plain(
    control: &Control,
    caller: &WorkerCaller,
    workspace: WorkspaceId,
    body: &MachineReport<Nothing>,
) -> Result<worker::MachineReport, ApiError> {
    Ok(worker::MachineReport {
        at: control.moment()?,
        fence: fence(caller, workspace, body),
    })
}

pub(super) fn captured(version: wire::CapturedVersion) -> worker::CapturedVersion {
    worker::CapturedVersion {
        version_id: version.version_id,
        manifest: version.manifest,
        size_bytes: version.size_bytes,
        changed_bytes: version.changed_bytes,
    }
}

pub(super) async fn live(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Nothing>>,
) -> Done {
    let input = plain(&control, &caller, workspace, &body.value)?;
    fault::point("control.live.before_commit");
    worker::machine_live(&control.store, input).await?;
    fault::point("control.live.after_commit");
    DONE
}

pub(super) async fn parking(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Nothing>>,
) -> Done {
    let input = plain(&control, &caller, workspace, &body.value)?;
    worker::machine_parking(&control.store, input).await?;
    fault::point("control.parking.after_commit");
    DONE
}

pub(super) async fn parked(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Parked>>,
) -> Done {
    let fence = fence(&caller, workspace, &body.value);
    let parked = body.value.report;
    let timings = &parked.timings_ms;
    let input = worker::Parked {
        at: control.moment()?,
        fence,
        checkpoint_id: parked.checkpoint_id,
        checkpoint_size_bytes: parked.checkpoint_size_bytes,
        runtime_identity: parked.runtime_identity,
        version: captured(parked.version),
        draining: parked.draining,
        timings: json!({
            "pause_ms": timings.pause,
            "capture_ms": timings.capture,
            "checkpoint_ms": timings.checkpoint,
        }),
    };
    fault::point("control.parked.before_commit");
    worker::machine_parked(&control.store, input).await?;
    fault::point("control.parked.after_commit");
    DONE
}

pub(super) async fn unparked(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Nothing>>,
) -> Done {
    let input = plain(&control, &caller, workspace, &body.value)?;
    worker::machine_unparked(&control.store, input).await?;
    DONE
}

pub(super) async fn stopping(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Nothing>>,
) -> Done {
    let input = plain(&control, &caller, workspace, &body.value)?;
    worker::machine_stopping(&control.store, input).await?;
    DONE
}

pub(super) async fn stopped(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Files>>,
) -> Done {
    let input = worker::Stopped {
        at: control.moment()?,
        fence: fence(&caller, workspace, &body.value),
        version: body.value.report.version.map(captured),
    };
    worker::machine_stopped(&control.store, input).await?;
    DONE
}

pub(super) async fn failed(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<MachineFailed>>,
) -> Done {
    let fence = fence(&caller, workspace, &body.value);
    let failed = body.value.report;
    tracing::warn!("workspace.id" = %workspace, "worker.id" = %caller.id, kind = failed.kind,
        message = failed.message, "machine failed");
    let input = worker::Failed {
        at: control.moment()?,
        fence,
        kind: failed.kind,
        message: failed.message,
        version: failed.version.map(captured),
        checkpoint_kept: failed.checkpoint_kept,
    };
    worker::machine_failed(&control.store, input).await?;
    DONE
}

pub(super) async fn version(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace): Path<WorkspaceId>,
    body: Json<MachineReport<Files>>,
) -> Done {
    let fence = fence(&caller, workspace, &body.value);
    let Files { version, asked } = body.value.report;
    // Nothing changed: nothing to keep.
    let Some(version) = version else {
        return DONE;
    };
    let input = worker::Captured {
        at: control.moment()?,
        fence,
        version: captured(version),
        asked,
    };
    fault::point("control.version.before_commit");
    worker::version_captured(&control.store, input).await?;
    fault::point("control.version.after_commit");
    DONE
}
