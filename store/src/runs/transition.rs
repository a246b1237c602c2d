//! What happens to runs, committed with its events, timers and effects.

use helmr_domain::run::{Command, Effect, Run as Machine, State, Status, decide};
use helmr_domain::timer::Purpose;
use helmr_domain::{CanonicalJson, Event, EventKind, Moment, Refusal, RunId, limits};

use super::log;
use super::row::{self, RunRow};
use super::write::{self, NewRun};
use crate::db::Tx;
use crate::worker::RunFence;
use crate::{
    Error, Hint, Result, events, lease, machine, outbox, sessions, timers, tokens, wait, workspaces,
};

/// Decides and saves, and follows up. Answers whether anything changed.
///
/// `ids` makes the id of the session's next run, if this ends one and another begins.
pub(crate) async fn apply(
    tx: &mut Tx,
    row: &mut RunRow,
    command: Command,
    at: Moment,
) -> Result<bool> {
    let decision = decide(&row.run.state, command, at)?;
    let Some(next) = decision.next else {
        return Ok(false);
    };
    let about_before = row.about();
    let was_running = row.run.state.status() == Status::Running;
    let was_stopping = row.run.state.stop.is_some();
    let was_queued = row.run.state.status() == Status::Queued;
    enter(row, next, at);
    write::save(tx, row).await?;
    // The end of an attempt is told of that attempt.
    let mut about = row.about();
    about.attempt = about.attempt.or(about_before.attempt);
    for event in decision.events {
        events::append(tx, about, event, at).await?;
    }
    for effect in decision.effects {
        follow(tx, row, effect, at).await?;
    }
    if about_before.attempt.is_some() || about.attempt.is_some() {
        outbox::mark(tx, row.run.workspace_id, at).await?;
    }
    if was_queued && row.run.state.status().is_final() {
        workspaces::want_less(tx, row.run.workspace_id).await?;
    }
    if was_stopping && row.run.state.status().is_final() {
        Box::pin(machine::settle(tx, row.run.workspace_id, at)).await?;
    }
    let left = was_running && row.run.state.status() != Status::Running;
    if matches!(row.run.state.state, State::Queued { .. }) || (left && row.run.queue.is_some()) {
        tx.hint(Hint::Queue);
    }
    Ok(true)
}

/// Puts the next state into the row, with the columns that follow from it.
fn enter(row: &mut RunRow, next: Machine, at: Moment) {
    let queued = matches!(row.run.state.state, State::Queued { .. });
    match &next.state {
        State::Queued { next_attempt, .. } => {
            row.attempt = *next_attempt;
            row.entries = 0;
        }
        State::Running {
            attempt, started, ..
        } => {
            row.attempt = *attempt;
            if *started && row.run.started_at.is_none() {
                row.run.started_at = Some(at.now);
            }
        }
        State::Waiting { attempt, .. } => row.attempt = *attempt,
        // The attempt that was to come never came.
        State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => {
            if queued {
                row.attempt = row.attempt.saturating_sub(1);
            }
        }
    }
    row.run.state = next;
}

async fn follow(tx: &mut Tx, row: &RunRow, effect: Effect, at: Moment) -> Result<()> {
    let run = &row.run;
    match effect {
        Effect::Timer(change) => timers::change(tx, &run.id, change).await,
        Effect::StopWaits => wait::cancel_undecided(tx, run.workspace_id, run.id, at).await,
        Effect::EndAttempt { lost } => {
            log::flush(tx, row.about(), run.id, at).await?;
            wait::end_attempt(tx, run.workspace_id, run.id, lost, at).await?;
            tokens::end_attempt(tx, run.id, at).await
        }
        Effect::End { unread_starts_next } => {
            let unread_starts_next = unread_starts_next && row.consumed > 0;
            sessions::end_run(tx, row, unread_starts_next, at).await
        }
    }
}

/// Writes a run, queued, with its first events.
pub(crate) async fn create(tx: &mut Tx, new: NewRun<'_>, at: Moment) -> Result<RunRow> {
    write::insert(tx, &new, at).await?;
    let id: RunId = new.id;
    if let Some(ttl_at) = new.state.ttl_at {
        timers::arm(tx, Purpose::RunTtl, &id, ttl_at).await?;
    }
    let row = row::find(tx, id).await?.ok_or(Error::NotFound("run"))?;
    let created = Event::new(EventKind::RunCreated)
        .with("task_id", row.run.task_id.as_str())
        .with("deployment_id", row.run.deployment_id.to_string())
        .with("number", row.run.number)
        .with("reason", new.reason);
    let created = with_payload(created, new.session.payload.as_ref());
    events::append(tx, row.about(), created, at).await?;
    events::append(tx, row.about(), Event::new(EventKind::RunQueued), at).await?;
    tx.hint(Hint::Queue);
    Ok(row)
}

/// Adds what the run is started with, if it is not too much for an event.
fn with_payload(event: Event, payload: Option<&CanonicalJson>) -> Event {
    let Some(payload) = payload else {
        return event;
    };
    if payload.as_str().len() > limits::EVENT_DATA_BYTES {
        return event.with("payload_left_out_bytes", payload.as_str().len());
    }
    match payload.to_value() {
        Some(payload) => event.with("payload", payload),
        None => event,
    }
}

/// Finds the run of an attempt that a worker holds.
///
/// # Errors
/// `Stale` if the lease is over. `Refused(RunNotInState)` if only the attempt is: the machine and what else runs in it
/// is the worker's as before.
pub(crate) async fn fenced(tx: &mut Tx, fence: RunFence) -> Result<RunRow> {
    let row = told_of(tx, fence).await?;
    if row.run.state.attempt() == Some(fence.attempt) {
        Ok(row)
    } else {
        Err(attempt_over(&row))
    }
}

fn attempt_over(row: &RunRow) -> Error {
    let status = row.run.state.status().as_str();
    Refusal::RunNotInState { status }.into()
}

/// Finds the run of an attempt that a worker holds or, since its lease began, held last.
///
/// # Errors
/// `Stale` if the lease is over, or the run is not in the machine's workspace; `Refused(RunNotInState)` if the attempt is
/// not the last one.
pub(crate) async fn told_of(tx: &mut Tx, fence: RunFence) -> Result<RunRow> {
    lease::check(tx, fence.lease).await?;
    let row = row::find(tx, fence.run_id).await?.ok_or(Error::Stale)?;
    let queued = matches!(row.run.state.state, State::Queued { .. });
    if row.run.workspace_id != fence.lease.workspace_id {
        return Err(Error::Stale);
    }
    if row.attempt != fence.attempt || queued {
        return Err(attempt_over(&row));
    }
    Ok(row)
}
