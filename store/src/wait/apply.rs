//! What happens to waits, committed with its events, timers and effects.

use helmr_domain::timer::Purpose;
use helmr_domain::wait::{Command, Effect, Kind, Outcome, Record, State, decide};
use helmr_domain::{Event, EventKind, Moment, RunId, SessionId, StreamName, TokenId, WorkspaceId};

use super::row::{self, WaitRow};
use crate::db::Tx;
use crate::{Result, events, outbox, streams, timers};

/// Decides and saves. Answers whether anything changed.
pub(crate) async fn apply(
    tx: &mut Tx,
    wait: &mut WaitRow,
    command: Command,
    at: Moment,
) -> Result<bool> {
    let decision = decide(&wait.wait, command, at)?;
    let Some(next) = decision.next else {
        return Ok(false);
    };
    let was_undecided = matches!(wait.wait.state, State::Hot | State::Parked);
    wait.wait = next;
    match wait.wait.state {
        State::Hot | State::Parked | State::Resuming(_) => {}
        State::Resolved(_) => wait.holds &= wait.holds_on,
        State::TimedOut(_) | State::Cancelled { .. } | State::Failed { .. } => wait.holds = false,
    }
    row::save(tx, wait, at).await?;
    for event in decision.events {
        let event = event
            .with("wait_id", wait.id.to_string())
            .with("wait_kind", wait.wait.kind.as_str());
        events::append(tx, wait.about(), event, at).await?;
    }
    if was_undecided && !matches!(wait.wait.state, State::Hot | State::Parked) {
        if let Kind::Timer { .. } = wait.wait.kind {
            timers::disarm(tx, Purpose::WaitDue, &wait.id).await?;
        }
        if wait.wait.timeout_at.is_some() {
            timers::disarm(tx, Purpose::WaitTimeout, &wait.id).await?;
        }
    }
    for effect in decision.effects {
        match effect {
            Effect::Wake => outbox::mark(tx, wait.workspace, at).await?,
            Effect::Consume(record) => streams::consume(tx, wait, record).await?,
            Effect::GiveBack(record) => streams::give_back(tx, wait, record).await?,
        }
    }
    Ok(true)
}

/// Tells of a wait that has begun.
pub(crate) async fn tell_created(tx: &mut Tx, wait: &WaitRow, at: Moment) -> Result<()> {
    let mut event = Event::new(EventKind::WaitCreated)
        .with("wait_id", wait.id.to_string())
        .with("wait_kind", wait.wait.kind.as_str())
        .with("blocking", wait.blocking);
    event = match &wait.wait.kind {
        Kind::Token(token) => event.with("token_id", token.to_string()),
        Kind::Stream { stream, .. } => event.with("stream", stream.as_str()),
        Kind::Timer { due_at, .. } => event.with("due_at", due_at.to_rfc3339()),
    };
    if let Some(timeout_at) = wait.wait.timeout_at {
        event = event.with("timeout_at", timeout_at.to_rfc3339());
    }
    events::append(tx, wait.about(), event, at).await
}

/// Arms what a wait is due by.
pub(crate) async fn arm(tx: &mut Tx, wait: &WaitRow) -> Result<()> {
    if let Kind::Timer { due_at, clock } = wait.wait.kind {
        timers::arm_by(tx, clock, Purpose::WaitDue, &wait.id, due_at).await?;
    }
    if let Some(timeout_at) = wait.wait.timeout_at {
        timers::arm(tx, Purpose::WaitTimeout, &wait.id, timeout_at).await?;
    }
    Ok(())
}

/// Gives the waits on a token their outcome.
pub(crate) async fn complete_on_token(
    tx: &mut Tx,
    token: TokenId,
    outcome: Outcome,
    at: Moment,
) -> Result<()> {
    for mut wait in row::on_token(tx, token).await? {
        let command = Command::Complete {
            outcome: outcome.clone(),
            record: None,
        };
        apply(tx, &mut wait, command, at).await?;
    }
    Ok(())
}

/// Offers a new record to the session's waits on its stream, oldest first. One wait takes it, or none.
pub(crate) async fn offer_record(
    tx: &mut Tx,
    session: SessionId,
    record: &streams::Record,
    at: Moment,
) -> Result<()> {
    for mut wait in row::on_stream(tx, session, &record.stream).await? {
        if !takes(&wait, &record.stream, record.correlation_id.as_deref()) {
            continue;
        }
        let command = Command::Complete {
            outcome: Outcome::Ok(streams::to_value(record)),
            record: Some(Record {
                id: record.id,
                sequence: record.sequence,
            }),
        };
        apply(tx, &mut wait, command, at).await?;
        // One that was past its timeout has heard of that, and left the record.
        let taken =
            matches!(&wait.wait.state, State::Resuming(decided) if decided.record.is_some());
        if taken {
            return Ok(());
        }
    }
    Ok(())
}

fn takes(wait: &WaitRow, stream: &StreamName, correlation: Option<&str>) -> bool {
    match &wait.wait.kind {
        Kind::Stream {
            stream: wanted,
            correlation_id,
        } => {
            wanted == stream
                && correlation_id
                    .as_deref()
                    .is_none_or(|wanted| Some(wanted) == correlation)
        }
        Kind::Token(_) | Kind::Timer { .. } => false,
    }
}

/// Cancels what a run that is told to stop waits for.
pub(crate) async fn cancel_undecided(
    tx: &mut Tx,
    workspace: WorkspaceId,
    run: RunId,
    at: Moment,
) -> Result<()> {
    for mut wait in row::undelivered(tx, workspace, run).await? {
        apply(tx, &mut wait, Command::Stop, at).await?;
    }
    Ok(())
}

/// Ends the waits of an attempt that is over.
pub(crate) async fn end_attempt(
    tx: &mut Tx,
    workspace: WorkspaceId,
    run: RunId,
    lost: bool,
    at: Moment,
) -> Result<()> {
    for mut wait in row::undelivered(tx, workspace, run).await? {
        apply(tx, &mut wait, Command::EndAttempt { lost }, at).await?;
    }
    Ok(())
}

/// Marks the hot waits of a machine that parked.
pub(crate) async fn park_hot(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    for mut wait in row::hot(tx, workspace).await? {
        apply(tx, &mut wait, Command::Park, at).await?;
    }
    Ok(())
}
