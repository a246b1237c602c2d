//! Reports on execs and PTYs, and the input that they are given.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::fault;
use helmr_api::worker::{
    ExecEnded, ExecInput, ExecOutput, ExecReport, InputTaken, Nothing, TerminalRests, WantInput,
};
use helmr_domain::ProcessId;
use helmr_domain::exec::End;
use helmr_store::execs::{self, Fenced};
use http::StatusCode;

use super::caller::WorkerCaller;
use super::runs::Line;
use crate::http::body::Json;
use crate::http::parameters::Path;
use crate::{ApiError, Control, ops};

type Done = Result<StatusCode, ApiError>;

const DONE: Done = Ok(StatusCode::NO_CONTENT);

fn fence<T>(caller: &WorkerCaller, exec: ProcessId, body: &ExecReport<T>) -> Fenced {
    Fenced {
        lease: caller.fence(body.workspace_id, body.epoch),
        exec,
    }
}

/// Its process runs.
pub(super) async fn started(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<Nothing>>,
) -> Done {
    let fence = fence(&caller, exec, &body.value);
    execs::started(&control.store, fence, control.moment()?).await?;
    fault::point("control.exec_started.after_commit");
    DONE
}

/// What its process printed.
pub(super) async fn output(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<ExecOutput>, Line>,
) -> Done {
    let fence = fence(&caller, exec, &body.value);
    ops::execs::receive(&control, fence, body.value.report).await?;
    DONE
}

/// Gives the input behind an offset.
pub(super) async fn input(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<WantInput>>,
) -> Result<Answer<ExecInput>, ApiError> {
    let fence = fence(&caller, exec, &body.value);
    let offset = body.value.report.offset;
    Ok(Answer(ops::execs::input(&control, fence, offset).await?))
}

/// Its process has taken so much of its input.
pub(super) async fn taken(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<InputTaken>>,
) -> Done {
    let fence = fence(&caller, exec, &body.value);
    let InputTaken { offset, closed } = body.value.report;
    execs::input_taken(&control.store, fence, offset, closed).await?;
    DONE
}

/// Its terminal has become idle, or is so no longer.
pub(super) async fn rests(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<TerminalRests>>,
) -> Done {
    let fence = fence(&caller, exec, &body.value);
    let idle = body.value.report.idle;
    execs::rests(&control.store, fence, idle, control.moment()?).await?;
    fault::point("control.pty_rests.after_commit");
    DONE
}

/// Its process is gone.
pub(super) async fn ended(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(exec): Path<ProcessId>,
    body: Json<ExecReport<ExecEnded>>,
) -> Done {
    let fence = fence(&caller, exec, &body.value);
    let end = match body.value.report {
        ExecEnded {
            error: Some(message),
            ..
        } => End::NotStarted { message },
        ExecEnded {
            signal: Some(signal),
            ..
        } => End::Killed { signal },
        ExecEnded { exit_code, .. } => End::Exited {
            code: exit_code.unwrap_or(0),
        },
    };
    execs::ended(&control.store, fence, end, control.moment()?).await?;
    fault::point("control.exec_ended.after_commit");
    DONE
}
