//! Runs as clients see them.

use helmr_api::http::runs::{
    Cancellation, Placement, Run, RunError, RunQueue, RunStatus, Wait, WaitKind,
};
use helmr_domain::run::{State, Status, StopReason};
use helmr_domain::{Duration, Failure, Timestamp};
use helmr_store::runs::{PendingWait, Run as Row};

/// A run as a list has it: payload and secret names come from elsewhere.
pub(crate) fn run(row: &Row, now: Timestamp) -> Run {
    let (output, error) = match &row.state.state {
        State::Succeeded { output, .. } => (output.clone(), None),
        State::Failed { failure, .. } => (None, Some(run_error(failure))),
        State::Queued { .. }
        | State::Running { .. }
        | State::Waiting { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => (None, None),
    };
    Run {
        id: row.id,
        session_id: row.session_id,
        task: row.task_id.to_string(),
        deployment_id: row.deployment_id,
        deployment_version: row.deployment_version.clone(),
        workspace_id: row.workspace_id,
        number: row.number,
        status: wire_status(row.state.status()),
        reason: row.reason.clone(),
        payload: None,
        secret_names: Vec::new(),
        max_duration_seconds: seconds(row.state.max_duration).as_secs(),
        active_seconds: seconds(row.state.active_at(now)).as_secs_f64(),
        attempt_number: row.attempt_number,
        dispatch_attempts: row.state.dispatch_attempts,
        pending_wait: row.pending_wait.as_ref().and_then(wait),
        queue: row.queue.as_ref().map(|queue| RunQueue {
            name: queue.name.clone(),
            concurrency_limit: queue.concurrency_limit,
            concurrency_key: queue.concurrency_key.clone(),
        }),
        priority: row.priority,
        not_before: not_before(&row.state.state).map(Into::into),
        expires_at: row.state.ttl_at.map(Into::into),
        cancellation: cancellation(row),
        placement: match &row.placement {
            Some(placement) => Placement {
                state: placement.state.to_owned(),
                reason: placement.reason.clone(),
            },
            None => Placement {
                state: "released".to_owned(),
                reason: None,
            },
        },
        output,
        error,
        exit_code: row.exit_code,
        metadata: row.metadata.clone(),
        provenance: row.provenance.clone(),
        created_at: row.created_at.into(),
        started_at: row.started_at.map(Into::into),
        finished_at: row.ended_at.map(Into::into),
    }
}

/// Until when a run pauses that is to be attempted again.
fn not_before(state: &State) -> Option<Timestamp> {
    match state {
        State::Queued {
            since, not_before, ..
        } if not_before > since => Some(*not_before),
        State::Queued { .. }
        | State::Running { .. }
        | State::Waiting { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    }
}

/// The order to end it that was given, carried out or not.
fn cancellation(row: &Row) -> Option<Cancellation> {
    let (reason, text, requested_at) = match (&row.state.state, &row.state.stop) {
        (
            State::Cancelled {
                reason,
                text,
                requested_at,
                ..
            },
            _,
        ) => (*reason, text, *requested_at),
        (_, Some(stop)) => (stop.reason, &stop.text, stop.requested_at),
        (_, None) => return None,
    };
    // Max duration is no cancellation: it fails the run.
    (reason != StopReason::MaxDuration).then(|| Cancellation {
        code: reason.as_str().to_owned(),
        reason: text.clone(),
        requested_at: requested_at.into(),
    })
}

fn seconds(span: Duration) -> std::time::Duration {
    std::time::Duration::from_micros(span.as_micros().unsigned_abs())
}

fn run_error(failure: &Failure) -> RunError {
    RunError {
        kind: failure.kind.as_str().to_owned(),
        message: failure.message.clone(),
        name: failure.name.clone(),
        stack: failure.stack.clone(),
    }
}

fn wait(row: &PendingWait) -> Option<Wait> {
    let subject = row.subject.clone();
    let (kind, token_id, stream) = match row.kind.as_str() {
        "token" => (
            WaitKind::Token,
            subject.and_then(|id| id.parse().ok()),
            None,
        ),
        "stream" => (WaitKind::Stream, None, subject),
        "timer" => (WaitKind::Timer, None, None),
        _ => return None,
    };
    Some(Wait {
        id: row.id,
        kind,
        state: row.state.clone(),
        token_id,
        stream,
        correlation_id: row.correlation_id.clone(),
        due_at: row.due_at.map(Into::into),
        timeout_at: row.timeout_at.map(Into::into),
        created_at: row.created_at.into(),
    })
}

pub(crate) fn wire_status(status: Status) -> RunStatus {
    match status {
        Status::Queued => RunStatus::Queued,
        Status::Running => RunStatus::Running,
        Status::Waiting => RunStatus::Waiting,
        Status::Succeeded => RunStatus::Succeeded,
        Status::Failed => RunStatus::Failed,
        Status::Cancelled => RunStatus::Cancelled,
        Status::Expired => RunStatus::Expired,
    }
}

pub(crate) fn status(status: RunStatus) -> Status {
    match status {
        RunStatus::Queued => Status::Queued,
        RunStatus::Running => Status::Running,
        RunStatus::Waiting => Status::Waiting,
        RunStatus::Succeeded => Status::Succeeded,
        RunStatus::Failed => Status::Failed,
        RunStatus::Cancelled => Status::Cancelled,
        RunStatus::Expired => Status::Expired,
    }
}
