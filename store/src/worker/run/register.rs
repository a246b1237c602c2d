//! Waits, registered and delivered.

use helmr_domain::run::{Command as RunCommand, Status};
use helmr_domain::token::State as TokenState;
use helmr_domain::wait::{Command, Kind, Outcome, Record, State};
use helmr_domain::{Duration, Moment, Refusal, Timestamp, WaitId, limits};
use serde_json::Value;

use super::{Deliver, DropWait, RegisterWait, Registered, WaitFor};
use crate::db::{Tx, params, sql};
use crate::idempotency::{self, Answer};
use crate::runs::{self, RunRow};
use crate::wait::{self, NewWait, WaitRow};
use crate::{Error, Result, Store, streams, tokens};

sql! {
    FIND_HOT_WINDOW = "SELECT hot_window_us
        FROM environments
        WHERE id = $1";
}

/// Registers a wait, once for each call. One whose condition is met has its outcome at once and does not block the run.
///
/// # Errors
/// `Stale`; `NotFound("token")`; `Refused`: `ConcurrentWait`, `RunStopping`, `StreamUnknown`.
pub async fn register_wait(store: &Store, input: RegisterWait) -> Result<Registered> {
    store
        .write(input, |tx, input| Box::pin(register_in(tx, input)))
        .await
}

async fn register_in(tx: &mut Tx, input: &RegisterWait) -> Result<Registered> {
    let at = input.at;
    let mut run = runs::fenced(tx, input.fence).await?;
    let fence = input.fence;
    if let Some(wait) = wait::find_call(tx, fence.run_id, fence.attempt, input.call_no).await? {
        return Ok(answer(&wait));
    }
    check_free(tx, &run, input.blocking).await?;
    let kind = match &input.wait_for {
        WaitFor::Token(token) => Kind::Token(*token),
        WaitFor::Stream {
            stream,
            correlation_id,
        } => Kind::Stream {
            stream: stream.clone(),
            correlation_id: correlation_id.clone(),
        },
        WaitFor::Timer { due_at, clock } => Kind::Timer {
            due_at: *due_at,
            clock: *clock,
        },
    };
    // Before the wait is there, so that a record cannot be claimed by the wait that looks for it.
    let met = condition(tx, &run, &kind, at).await?;
    let hot_window = match input.hot_window {
        Some(asked) => asked.min(limits::HOT_WINDOW_LONGEST),
        None => hot_window(tx, &run).await?,
    };
    let new = NewWait {
        id: at.ids().make(WaitId::new),
        scope: run.run.scope,
        run: run.run.id,
        session: run.run.session_id,
        workspace: run.run.workspace_id,
        attempt: fence.attempt,
        call_no: input.call_no,
        blocking: input.blocking,
        holds_on: input.hold,
        hot_window,
        kind,
        timeout_at: input.timeout_at,
    };
    let mut wait = wait::insert(tx, new, at).await?;
    wait::tell_created(tx, &wait, at).await?;
    match met {
        Some((outcome, record)) => {
            let command = Command::Complete { outcome, record };
            wait::apply(tx, &mut wait, command, at).await?;
        }
        // Its time may have come already.
        None => {
            wait::apply(tx, &mut wait, Command::Due, at).await?;
        }
    }
    if wait.wait.state == State::Hot {
        wait::arm(tx, &wait).await?;
    }
    wait::settle(tx, &mut run, at).await?;
    Ok(answer(&wait))
}

fn answer(wait: &WaitRow) -> Registered {
    Registered {
        wait_id: wait.id,
        hot_window: wait.hot_window,
        blocking: wait.blocking,
        decided: !matches!(wait.wait.state, State::Hot | State::Parked),
    }
}

/// One blocking wait at a time, and none for a run that is to stop.
async fn check_free(tx: &mut Tx, run: &RunRow, blocking: bool) -> Result<()> {
    if run.run.state.stop.is_some() {
        return Err(Refusal::RunStopping.into());
    }
    if !blocking {
        return Ok(());
    }
    let open = wait::undelivered(tx, run.run.workspace_id, run.run.id).await?;
    if run.run.state.status() == Status::Waiting || open.iter().any(|wait| wait.blocking) {
        return Err(Refusal::ConcurrentWait.into());
    }
    Ok(())
}

/// The outcome of a wait whose condition is met before it begins.
async fn condition(
    tx: &mut Tx,
    run: &RunRow,
    kind: &Kind,
    at: Moment,
) -> Result<Option<(Outcome, Option<Record>)>> {
    match kind {
        Kind::Token(id) => {
            // The deadline decides, not the timer.
            tokens::expire(tx, *id, at).await?;
            let token = tokens::find(tx, *id)
                .await?
                .filter(|found| found.token.scope == run.run.scope)
                .ok_or(Error::NotFound("token"))?;
            if let Some(maker) = token.token.run_id
                && !ended_before(&token.token.state, run.run.created_at)
                && runs::is_fork_of(tx, run.run.id, maker).await?
            {
                return Ok(Some((Outcome::forked(), None)));
            }
            Ok(tokens::outcome_of(&token.token.state)?.map(|outcome| (outcome, None)))
        }
        Kind::Stream {
            stream,
            correlation_id,
        } => {
            let found = streams::next_unread(
                tx,
                run.run.task_row_id,
                run.run.session_id,
                stream,
                correlation_id.as_deref(),
            )
            .await?;
            Ok(found.map(|record| {
                let taken = Record {
                    id: record.id,
                    sequence: record.sequence,
                };
                (Outcome::Ok(streams::to_value(&record)), Some(taken))
            }))
        }
        Kind::Timer { .. } => Ok(None),
    }
}

/// Whether a token had ended when a copy of the run that made it began.
const fn ended_before(state: &TokenState, began: Timestamp) -> bool {
    match state {
        TokenState::Pending => false,
        TokenState::Completed { at, .. }
        | TokenState::Expired { at }
        | TokenState::Cancelled { at } => at.as_micros() < began.as_micros(),
    }
}

async fn hot_window(tx: &mut Tx, run: &RunRow) -> Result<Duration> {
    let bound = params![run.run.scope.environment];
    let configured: Option<Duration> = tx.one(&FIND_HOT_WINDOW, bound).await?.take("hot_window")?;
    Ok(configured.unwrap_or(limits::HOT_WINDOW))
}

/// The task has an outcome: the wait is over, its record is read, the run goes on.
///
/// # Errors
/// `Stale`; `Refused(WaitOver)` if there was none to deliver.
pub async fn wait_delivered(store: &Store, input: Deliver) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let mut run = runs::fenced(tx, input.fence).await?;
                let mut wait = wait::find(tx, input.wait_id)
                    .await?
                    .filter(|wait| wait.run == run.run.id && wait.attempt == input.fence.attempt)
                    .ok_or(Error::NotFound("wait"))?;
                if !wait::apply(tx, &mut wait, Command::Deliver, input.at).await? {
                    return Ok(());
                }
                // Its records count for the run.
                if let Some(fresh) = runs::find(tx, run.run.id).await? {
                    run = fresh;
                }
                if wait.blocking {
                    runs::apply(tx, &mut run, RunCommand::Resume(wait.id), input.at).await?;
                }
                wait::settle(tx, &mut run, input.at).await?;
                crate::outbox::mark(tx, wait.workspace, input.at).await
            })
        })
        .await
}

/// The task waits no more for what a call registered: the wait is over, unless its outcome came first, which then stands.
/// Answers whether it is. Either way it keeps its run running no longer. Repeating it gives the first answer.
///
/// # Errors
/// `Stale`; `NotFound("wait")` if the call registered none.
pub async fn drop_wait(store: &Store, input: DropWait) -> Result<bool> {
    store
        .write(input, |tx, input| Box::pin(drop_in(tx, *input)))
        .await
}

async fn drop_in(tx: &mut Tx, input: DropWait) -> Result<bool> {
    let DropWait { at, fence, .. } = input;
    let mut run = runs::fenced(tx, fence).await?;
    if let Some(kept) = idempotency::find_call(tx, fence, input.call_no).await? {
        return Ok(kept.answer == Value::Bool(true));
    }
    let mut wait = wait::find_call(tx, fence.run_id, fence.attempt, input.dropped)
        .await?
        .ok_or(Error::NotFound("wait"))?;
    let dropped = wait::drop_wait(tx, &mut wait, at).await?;
    if dropped && wait.blocking {
        runs::apply(tx, &mut run, RunCommand::Resume(wait.id), at).await?;
    }
    wait::settle(tx, &mut run, at).await?;
    let kept = Answer {
        answer: Value::Bool(dropped),
        sealed: None,
    };
    idempotency::save_call(tx, fence, input.call_no, &kept, at).await?;
    crate::outbox::mark(tx, wait.workspace, at).await?;
    Ok(dropped)
}
