//! Runs, written.

use helmr_domain::run::{Clock, Run as Machine, State};
use helmr_domain::{Moment, RunId};

use super::Queue;
use super::row::RunRow;
use crate::Result;
use crate::db::{Json, Tx, params, sql};

sql! {
    SAVE = "UPDATE runs
        SET status = $2, attempt = $3, queued_at = $4, not_before_at = $5, started = $6,
            clock_at = $7, wait_id = $8, ended_at = $9, output = $10, failure = $11,
            cancel_reason = $12, dispatch_attempts = $13, active_us = $14, stop_reason = $15,
            stop_requested_at = $16, stop_awake = $17, stop_kill_at = $18, consumed = $19,
            entries = $20, started_at = $21, exit_code = $22, stop_text = $23, cancel_text = $24,
            cancel_requested_at = $25
        WHERE id = $1";

    INSERT = "INSERT INTO runs (
            id, organization_id, project_id, environment_id, session_id, workspace_id,
            deployment_id, task_row_id, task_id, number, reason, status, attempt, queued_at,
            not_before_at, ttl_at, started, dispatch_attempts, active_us, max_duration_us, retry,
            metadata, priority, queue, queue_limit, queue_key, provenance, consumed, entries,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'queued', 1, $12, 0, $13, 0, 0, 0,
            $14, $15, '{}', $16, $17, $18, $19, $20, 0, 0, $12)";
}

pub(crate) struct NewRun<'a> {
    pub(crate) id: RunId,
    pub(crate) number: u32,
    pub(crate) reason: &'static str,
    pub(crate) state: &'a Machine,
    pub(crate) session: &'a crate::sessions::Session,
    pub(crate) priority: i64,
    pub(crate) queue: Option<&'a Queue>,
    pub(crate) provenance: &'a serde_json::Value,
}

pub(super) async fn insert(tx: &mut Tx, new: &NewRun<'_>, at: Moment) -> Result<()> {
    let session = new.session;
    tx.run(
        &INSERT,
        params![
            new.id,
            session.scope.organization,
            session.scope.project,
            session.scope.environment,
            session.id,
            session.workspace_id,
            session.deployment_id,
            session.task_row_id,
            session.task_id,
            new.number,
            new.reason,
            at.now,
            new.state.ttl_at,
            new.state.max_duration,
            Json(new.state.retry),
            new.priority,
            new.queue.map(|queue| queue.name.as_str()),
            new.queue.and_then(|queue| queue.concurrency_limit),
            new.queue
                .and_then(|queue| queue.concurrency_key.as_deref())
                .unwrap_or_default(),
            new.provenance
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn save(tx: &mut Tx, row: &RunRow) -> Result<()> {
    let run = &row.run.state;
    let mut columns = StateColumns::default();
    match &run.state {
        State::Queued {
            since, not_before, ..
        } => {
            columns.queued = Some((*since, *not_before));
        }
        State::Running { started, clock, .. } => {
            columns.started = *started;
            columns.clock = match clock {
                Clock::Since(since) => Some(*since),
                Clock::Stopped => None,
            };
        }
        State::Waiting { wait, .. } => {
            columns.started = true;
            columns.wait = Some(*wait);
        }
        State::Succeeded { at, output } => {
            columns.ended_at = Some(*at);
            columns.output = output.as_ref();
        }
        State::Failed { at, failure } => {
            columns.ended_at = Some(*at);
            columns.failure = Some(Json(failure));
        }
        State::Cancelled {
            at,
            reason,
            text,
            requested_at,
        } => {
            columns.ended_at = Some(*at);
            columns.cancel_reason = Some(reason.as_str());
            columns.cancel_text = text.as_deref();
            columns.cancel_requested_at = Some(*requested_at);
        }
        State::Expired { at } => columns.ended_at = Some(*at),
    }
    // When it last queued is of interest while it queues.
    let (queued_at, not_before) = columns
        .queued
        .unwrap_or((row.run.created_at, row.run.created_at));
    tx.run(
        &SAVE,
        params![
            row.run.id,
            run.status().as_str(),
            row.attempt,
            queued_at,
            not_before,
            columns.started,
            columns.clock,
            columns.wait,
            columns.ended_at,
            columns.output,
            columns.failure,
            columns.cancel_reason,
            run.dispatch_attempts,
            run.active,
            run.stop.as_ref().map(|stop| stop.reason.as_str()),
            run.stop.as_ref().map(|stop| stop.requested_at),
            run.stop.as_ref().map(|stop| stop.awake),
            run.stop.as_ref().map(|stop| stop.kill_at),
            row.consumed,
            row.entries,
            row.run.started_at,
            row.run.exit_code,
            run.stop.as_ref().and_then(|stop| stop.text.as_deref()),
            columns.cancel_text,
            columns.cancel_requested_at
        ],
    )
    .await
    .map(drop)
}

#[derive(Default)]
struct StateColumns<'a> {
    queued: Option<(helmr_domain::Timestamp, helmr_domain::Timestamp)>,
    started: bool,
    clock: Option<helmr_domain::Timestamp>,
    wait: Option<helmr_domain::WaitId>,
    ended_at: Option<helmr_domain::Timestamp>,
    output: Option<&'a serde_json::Value>,
    failure: Option<Json<&'a helmr_domain::Failure>>,
    cancel_reason: Option<&'static str>,
    cancel_text: Option<&'a str>,
    cancel_requested_at: Option<helmr_domain::Timestamp>,
}
