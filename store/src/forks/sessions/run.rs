//! A run that is copied, with its waits, the answers it had, and how far its output has come.

use helmr_domain::run::{Command, State, Status};
use helmr_domain::timer::Purpose;
use helmr_domain::{Event, EventKind, RunId, SessionId, WaitId, WorkspaceId, fork as domain};

use super::{Copying, Records};
use crate::db::{Tx, params, sql};
use crate::runs::{self, RunRow};
use crate::wait::{self, CopyOfWait, WaitRow};
use crate::{Error, Result, events, timers};

sql! {
    /// Its log begins anew: what was printed before is the original's.
    COPY = "INSERT INTO runs (
            id, organization_id, project_id, environment_id, session_id, workspace_id,
            deployment_id, task_row_id, task_id, number, reason, status, attempt, queued_at,
            not_before_at, ttl_at, started, clock_at, wait_id, dispatch_attempts, active_us,
            max_duration_us, retry, metadata, priority, queue, queue_limit, queue_key, provenance,
            consumed, entries, created_at, started_at, forked_from
        )
        SELECT $2, organization_id, project_id, environment_id, $3, $4, deployment_id,
            task_row_id, task_id, number, reason, status, attempt, queued_at, not_before_at,
            ttl_at, started, clock_at, $5, dispatch_attempts, active_us, max_duration_us, retry,
            metadata, priority, queue, queue_limit, queue_key, provenance, consumed, entries, $6,
            started_at, id
        FROM runs
        WHERE id = $1";

    /// A call that the copy's memory makes again has the answer that it had. Secrets are not given twice.
    COPY_CALLS = "INSERT INTO run_calls (run_id, attempt, call_no, answer, created_at)
        SELECT $2, attempt, call_no, answer, created_at
        FROM run_calls
        WHERE run_id = $1 AND attempt = $3";

    /// What is printed again is passed over.
    COPY_LOG = "INSERT INTO log_positions (
            run_id, stream, attempt, base_offset, received_bytes
        )
        SELECT $2, stream, attempt, base_offset, received_bytes
        FROM log_positions
        WHERE run_id = $1 AND attempt = $3";
}

/// Where a copy belongs.
pub(super) struct Place {
    pub(super) id: RunId,
    pub(super) session: SessionId,
    pub(super) workspace: WorkspaceId,
}

/// Copies a run as it stands, and sets it aside as the machine is.
pub(super) async fn copy(
    tx: &mut Tx,
    copying: &mut Copying,
    original: &RunRow,
    place: &Place,
    past: &'static [EventKind],
    records: &Records,
) -> Result<()> {
    let from = original.run.id;
    let waits: Vec<(WaitRow, WaitId)> = wait::of_attempt(tx, from, original.attempt)
        .await?
        .into_iter()
        .map(|wait| (wait, copying.ids.make(WaitId::new)))
        .collect();
    let current = match original.run.state.state {
        State::Waiting { wait, .. } => waits
            .iter()
            .find(|(row, _)| row.id == wait)
            .map(|(_, copy)| *copy),
        State::Queued { .. }
        | State::Running { .. }
        | State::Succeeded { .. }
        | State::Failed { .. }
        | State::Cancelled { .. }
        | State::Expired { .. } => None,
    };
    let bound = params![
        from,
        place.id,
        place.session,
        place.workspace,
        current,
        copying.at.now
    ];
    tx.run(&COPY, bound).await?;
    let attempt = params![from, place.id, original.attempt];
    tx.run(&COPY_CALLS, attempt).await?;
    let attempt = params![from, place.id, original.attempt];
    tx.run(&COPY_LOG, attempt).await?;
    let mut run = runs::find(tx, place.id)
        .await?
        .ok_or(Error::NotFound("run"))?;
    tell_past(tx, copying, &run, from, past).await?;
    let mut copies = Vec::with_capacity(waits.len());
    for (wait, id) in &waits {
        let copy = CopyOfWait {
            id: *id,
            run: place.id,
            session: place.session,
            workspace: place.workspace,
            record: wait
                .record()
                .and_then(|record| records.get(&record).copied()),
        };
        copies.push(wait::copy(tx, wait, copy, copying.at).await?);
    }
    match run.run.state.status() {
        Status::Running | Status::Waiting => {
            runs::apply(tx, &mut run, Command::Park, copying.at).await?;
        }
        Status::Queued => arm(tx, &run).await?,
        Status::Succeeded | Status::Failed | Status::Cancelled | Status::Expired => {}
    }
    for wait in &mut copies {
        if let Some(command) = domain::what_becomes_of(&wait.wait) {
            wait::apply(tx, wait, command, copying.at).await?;
        }
    }
    Ok(())
}

async fn tell_past(
    tx: &mut Tx,
    copying: &mut Copying,
    run: &RunRow,
    from: RunId,
    past: &'static [EventKind],
) -> Result<()> {
    for kind in past {
        let mut event = Event::new(*kind);
        if *kind == EventKind::RunCreated {
            event = event
                .with("task_id", run.run.task_id.as_str())
                .with("deployment_id", run.run.deployment_id.to_string())
                .with("number", run.run.number)
                .with("reason", run.run.reason.as_str());
        }
        let event = event.with("forked_from", from.to_string());
        events::append(tx, run.about(), event, copying.at).await?;
    }
    Ok(())
}

/// What a run that queues waits for beside its turn.
async fn arm(tx: &mut Tx, run: &RunRow) -> Result<()> {
    let id = run.run.id;
    if let Some(ttl_at) = run.run.state.ttl_at {
        timers::arm(tx, Purpose::RunTtl, &id, ttl_at).await?;
    }
    if let State::Queued { not_before, .. } = run.run.state.state {
        timers::arm(tx, Purpose::RunNotBefore, &id, not_before).await?;
    }
    Ok(())
}
