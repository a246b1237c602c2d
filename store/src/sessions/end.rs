//! How sessions get runs and end.

use helmr_domain::run::{Run as RunState, State as RunIs, StopReason};
use helmr_domain::session::{Command, Effect, State, decide};
use helmr_domain::timer::Purpose;
use helmr_domain::{Moment, RunId, Scope, SessionId, run};

use super::Session;
use super::row::{self, SessionRow};
use crate::db::Tx;
use crate::runs::{self, NewRun, RunRow};
use crate::{Error, Hint, Result, Store, Subject, deployments, events, machine, streams, timers};

/// Closes an idle session. Closing it again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `SessionRunActive`, `SessionNotOpen`.
pub async fn close(store: &Store, scope: Scope, id: SessionId, at: Moment) -> Result<Session> {
    // It has no run to stop.
    let why = Why {
        reason: StopReason::Cancelled,
        text: None,
    };
    order(store, scope, id, Command::Close, why, at).await
}

/// Cancels a session and its run; `text` is for both. Cancelling it again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused(SessionNotOpen)`.
pub async fn cancel(
    store: &Store,
    scope: Scope,
    id: SessionId,
    text: Option<String>,
    at: Moment,
) -> Result<Session> {
    let why = Why {
        reason: StopReason::SessionCancelled,
        text,
    };
    order(store, scope, id, Command::Cancel, why, at).await
}

async fn order(
    store: &Store,
    scope: Scope,
    id: SessionId,
    command: Command,
    why: Why,
    at: Moment,
) -> Result<Session> {
    store
        .write((scope, id, command, why, at), |tx, input| {
            Box::pin(async move {
                let (scope, id, command, why, at) = input;
                let (id, at) = (*id, *at);
                let mut session = row::get(tx, *scope, id)
                    .await?
                    .ok_or(Error::NotFound("session"))?;
                apply(tx, &mut session, *command, why, at).await?;
                let session = row::find(tx, id).await?.ok_or(Error::NotFound("session"))?;
                Ok(session.session)
            })
        })
        .await
}

/// The timer: ends a session whose time has come.
pub(crate) async fn expire(tx: &mut Tx, id: SessionId, at: Moment) -> Result<()> {
    let Some(mut session) = row::find(tx, id).await? else {
        return Ok(());
    };
    let why = Why {
        reason: StopReason::SessionExpired,
        text: None,
    };
    apply(tx, &mut session, Command::Expire, &why, at).await
}

/// Cancels a session and its run for another reason than that somebody asked for it.
pub(crate) async fn cancel_in(tx: &mut Tx, id: SessionId, why: Why, at: Moment) -> Result<()> {
    let mut session = row::find(tx, id).await?.ok_or(Error::NotFound("session"))?;
    apply(tx, &mut session, Command::Cancel, &why, at).await
}

/// Why a run is to stop.
#[derive(Debug, Clone)]
pub(crate) struct Why {
    pub(crate) reason: StopReason,
    /// What whoever stops it said.
    pub(crate) text: Option<String>,
}

async fn apply(
    tx: &mut Tx,
    row: &mut SessionRow,
    command: Command,
    why: &Why,
    at: Moment,
) -> Result<()> {
    let decision = decide(&row.machine(), command, at)?;
    let Some(next) = decision.next else {
        return Ok(());
    };
    enter(row, next);
    if let State::Cancelled { .. } = row.session.state {
        row.session.cancel_text.clone_from(&why.text);
    }
    row::save(tx, row).await?;
    if row.session.state != State::Open {
        timers::disarm(tx, Purpose::SessionExpiry, &row.session.id).await?;
    }
    for mut event in decision.events {
        if let Some(reason) = &row.session.cancel_text {
            event = event.with("message", reason.as_str());
        }
        events::append(tx, row.about(), event, at).await?;
    }
    for effect in decision.effects {
        match effect {
            Effect::StopRun(id) => stop_run(tx, id, why.clone(), at).await?,
            // Only `StartRun` and `EndRun` ask for one, and neither comes here.
            Effect::CreateRun(_) => {}
        }
    }
    Ok(())
}

fn enter(row: &mut SessionRow, next: helmr_domain::session::Session) {
    row.session.active_run = next.active_run;
    row.session.state = next.state;
    row.session.ended_at = match next.state {
        State::Open => None,
        State::Closed { at } | State::Cancelled { at } | State::Expired { at } => Some(at),
    };
}

/// Tells a run to stop.
pub(crate) async fn stop_run(tx: &mut Tx, id: RunId, why: Why, at: Moment) -> Result<()> {
    let mut run = runs::find(tx, id).await?.ok_or(Error::NotFound("run"))?;
    let command = run::Command::Stop {
        reason: why.reason,
        text: why.text,
        live: machine::is_live(tx, run.run.workspace_id).await?,
    };
    runs::apply(tx, &mut run, command, at).await?;
    Ok(())
}

/// A run that a session is to have.
pub(crate) struct Next<'a> {
    pub(crate) id: RunId,
    pub(crate) reason: &'static str,
    pub(crate) provenance: &'a serde_json::Value,
}

/// Gives a session its next run, or answers the one it has.
///
/// # Errors
/// `Refused(SessionNotOpen)`.
pub(crate) async fn create_run(
    tx: &mut Tx,
    row: &mut SessionRow,
    next: Next<'_>,
    at: Moment,
) -> Result<(RunRow, bool)> {
    let decision = decide(&row.machine(), Command::StartRun(next.id), at)?;
    let Some(state) = decision.next else {
        let id = row.session.active_run.ok_or(Error::NotFound("run"))?;
        let run = runs::find(tx, id).await?.ok_or(Error::NotFound("run"))?;
        return Ok((run, false));
    };
    enter(row, state);
    Ok((write_run(tx, row, next, at).await?, true))
}

async fn write_run(
    tx: &mut Tx,
    row: &mut SessionRow,
    next: Next<'_>,
    at: Moment,
) -> Result<RunRow> {
    let task = deployments::find_task(tx, row.session.task_row_id)
        .await?
        .ok_or(Error::NotFound("task"))?;
    row.runs += 1;
    row.session.last_run = Some(next.id);
    row::save(tx, row).await?;
    let mut state = RunState::queued(
        at.now,
        row.options.max_duration.unwrap_or(task.max_duration),
        row.options.ttl.or(task.ttl),
    );
    state.retry = task.retry;
    let options = &row.options;
    let priority = task.queue.as_ref().map_or(0, |queue| queue.priority);
    let queue = task.queue.map(|queue| runs::Queue {
        name: queue.name,
        concurrency_limit: queue.concurrency_limit,
        concurrency_key: options.concurrency_key.clone().or(queue.concurrency_key),
    });
    let new = NewRun {
        id: next.id,
        number: row.runs,
        reason: next.reason,
        state: &state,
        session: &row.session,
        priority: options.priority.unwrap_or(priority),
        queue: queue.as_ref(),
        provenance: next.provenance,
    };
    runs::create(tx, new, at).await
}

/// The session goes on without `run`, or with the next one if unread input asks for it.
pub(crate) async fn end_run(
    tx: &mut Tx,
    run: &RunRow,
    unread_starts_next: bool,
    at: Moment,
) -> Result<()> {
    let mut row = row::find(tx, run.run.session_id)
        .await?
        .ok_or(Error::NotFound("session"))?;
    (row.session.result, row.session.error) = match &run.run.state.state {
        RunIs::Succeeded { output, .. } => (output.clone(), None),
        RunIs::Failed { failure, .. } => (None, Some(failure.clone())),
        RunIs::Queued { .. }
        | RunIs::Running { .. }
        | RunIs::Waiting { .. }
        | RunIs::Cancelled { .. }
        | RunIs::Expired { .. } => (None, None),
    };
    let wanted = unread_starts_next && streams::has_unread(tx, row.session.id).await?;
    let next = wanted.then(|| at.ids().make(RunId::new));
    let command = Command::EndRun {
        run: run.run.id,
        next,
    };
    let decision = decide(&row.machine(), command, at)?;
    if let Some(state) = decision.next {
        enter(&mut row, state);
    }
    row::save(tx, &row).await?;
    // Whoever follows a session that is over waits for its last run.
    tx.hint(Hint::Events(Subject::Session(row.session.id)));
    for effect in decision.effects {
        match effect {
            Effect::CreateRun(id) => {
                let next = Next {
                    id,
                    reason: "input",
                    provenance: &run.run.provenance,
                };
                write_run(tx, &mut row, next, at).await?;
            }
            // The end of a run stops no other.
            Effect::StopRun(_) => {}
        }
    }
    Ok(())
}
