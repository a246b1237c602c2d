//! Reports on runs, and what their tasks ask for.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::error::Code;
use helmr_api::fault;
use helmr_api::worker::{
    self as wire, Call, CallAnswer, Delivered, Nothing, Output, RunInput, RunReport,
};
use helmr_domain::{Failure, FailureKind, RunId};
use helmr_store::worker::{self, Deliver, Finish, Finished, RunFence};
use http::StatusCode;
use serde_json::Value;

use super::caller::WorkerCaller;
use crate::http::body::{Json, Limit};
use crate::http::parameters::Path;
use crate::ops::bounds;
use crate::{ApiError, Control, ops};

type Done = Result<StatusCode, ApiError>;

const DONE: Done = Ok(StatusCode::NO_CONTENT);
/// Of a message or a stack that a task threw.
const TEXT_BYTES: usize = 64 << 10;

/// What a runtime's line may hold, and its wrapping.
pub(super) struct Line;

impl Limit for Line {
    const BYTES: usize = 16 << 20;
    const STATED: usize = Self::BYTES;
    const CODE: Code = Code::BodyTooLarge;
    const WHAT: &'static str = "the body";
}

fn fence<T>(caller: &WorkerCaller, run: RunId, body: &RunReport<T>) -> RunFence {
    caller.run_fence(body.workspace_id, body.epoch, run, body.attempt_number)
}

/// Gives the first line of a run's channel.
pub(super) async fn input(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<Nothing>>,
) -> Result<Answer<RunInput>, ApiError> {
    let fence = fence(&caller, run, &body.value);
    let input = worker::run_input(&control.store, fence).await?;
    Ok(Answer(ops::runs::input(&control, &input)?))
}

/// The task's code begins.
pub(super) async fn started(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<Nothing>>,
) -> Done {
    let fence = fence(&caller, run, &body.value);
    fault::point("control.started.before_commit");
    worker::run_started(&control.store, fence, control.moment()?).await?;
    fault::point("control.started.after_commit");
    DONE
}

/// The task asks for something.
pub(super) async fn call(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<Call>, Line>,
) -> Result<Answer<CallAnswer>, ApiError> {
    let fence = fence(&caller, run, &body.value);
    let answer = ops::calls::answer(&control, fence, body.value.report).await?;
    Ok(Answer(answer))
}

/// The guest has an outcome.
pub(super) async fn delivered(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<Delivered>>,
) -> Done {
    let input = Deliver {
        at: control.moment()?,
        fence: fence(&caller, run, &body.value),
        wait_id: body.value.report.wait_id,
    };
    fault::point("control.delivered.before_commit");
    worker::wait_delivered(&control.store, input).await?;
    fault::point("control.delivered.after_commit");
    DONE
}

/// What the process printed and logged.
pub(super) async fn output(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<Output>, Line>,
) -> Done {
    let fence = fence(&caller, run, &body.value);
    let place = control.place_of(fence).await?;
    let environment = control.environment(place.environment).await?;
    ops::logs::receive(&control, &environment, fence, body.value.report).await?;
    DONE
}

/// The attempt ended.
pub(super) async fn finished(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(run): Path<RunId>,
    body: Json<RunReport<wire::Finish>, Line>,
) -> Done {
    let fence = fence(&caller, run, &body.value);
    let wire::Finish { finished, untaken } = body.value.report;
    let (finished, exit_code) = ending(finished);
    let input = Finish {
        at: control.moment()?,
        fence,
        finished,
        untaken,
        exit_code,
    };
    fault::point("control.finished.before_commit");
    worker::run_finished(&control.store, input).await?;
    fault::point("control.finished.after_commit");
    DONE
}

fn ending(finished: wire::Finished) -> (Finished, Option<i32>) {
    match finished {
        wire::Finished::Succeeded { output } => (succeeded(output), None),
        wire::Finished::Failed {
            kind,
            name,
            message,
            stack,
            exit_code,
        } => {
            let failure = Failure {
                // A kind that this build does not know came from the task's side.
                kind: kind.parse().unwrap_or(FailureKind::TaskError),
                name: name.map(|name| name.chars().take(256).collect()),
                message: cut(message),
                stack: stack.map(cut),
            };
            (Finished::Failed(failure), exit_code)
        }
        wire::Finished::Stopped { exit_code } => (Finished::Stopped, exit_code),
    }
}

/// An output over its limit fails the run: it could not be kept.
fn succeeded(output: Option<Value>) -> Finished {
    let size = output.as_ref().map_or(0, |output| output.to_string().len());
    if size <= bounds::OUTPUT_BYTES {
        return Finished::Succeeded { output };
    }
    let refused = bounds::too_large(Code::OutputTooLarge, "the output", bounds::OUTPUT_BYTES);
    Finished::Failed(Failure::new(FailureKind::OutputInvalid, refused.message()))
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES {
        let end = (0..=TEXT_BYTES)
            .rev()
            .find(|at| text.is_char_boundary(*at))
            .unwrap_or(0);
        text.truncate(end);
        text.push('\u{2026}');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_over_its_limit_fails_the_run() {
        let output = Value::String("x".repeat(bounds::OUTPUT_BYTES));
        let finished = succeeded(Some(output));
        assert!(
            matches!(&finished, Finished::Failed(failure) if failure.kind == FailureKind::OutputInvalid),
            "{finished:?}"
        );
        assert!(matches!(
            succeeded(None),
            Finished::Succeeded { output: None }
        ));
    }
}
