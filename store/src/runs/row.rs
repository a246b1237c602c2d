//! The rows of runs.

use helmr_domain::run::{Clock, Run as Machine, State, Status, Stop, StopReason};
use helmr_domain::{Moment, RunId, Scope, TokenId, WorkspaceId};

use super::{PendingWait, Placement, Queue, Run};
use crate::db::Json;
use crate::db::{Row, Tx, Value, params, sql};
use crate::events::About;
use crate::lease::scope;
use crate::{Result, Subject};

/// A run with what only the store knows of it.
#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    pub(crate) run: Run,
    /// The current attempt, the last one, or the one to come.
    pub(crate) attempt: u32,
    /// Records that the run has read.
    pub(crate) consumed: u64,
    /// Log entries of the current attempt that are kept.
    pub(crate) entries: u64,
}

impl RunRow {
    pub(crate) fn about(&self) -> About {
        About {
            subject: Subject::Run(self.run.id),
            scope: self.run.scope,
            run: Some(self.run.id),
            session: Some(self.run.session_id),
            workspace: Some(self.run.workspace_id),
            attempt: self.run.state.attempt(),
        }
    }
}

macro_rules! columns {
    () => {
        "r.id, r.organization_id, r.project_id, r.environment_id, r.session_id, r.workspace_id,
            r.deployment_id, d.version, r.task_row_id, r.task_id, r.number, r.reason, r.exit_code,
            r.metadata, r.priority, r.queue, r.queue_limit, r.queue_key, r.provenance, r.created_at,
            r.started_at,
            r.consumed, r.entries, r.dispatch_attempts, r.active_us, r.max_duration_us, r.ttl_at,
            r.retry, r.stop_reason, r.stop_text, r.stop_requested_at, r.stop_awake, r.stop_kill_at, r.status,
            r.attempt, r.queued_at, r.not_before_at, r.started, r.clock_at, r.wait_id, r.ended_at,
            r.output, r.failure, r.cancel_reason, r.cancel_text, r.cancel_requested_at, w.id, w.kind,
            w.state, w.token_id, w.stream, w.correlation_id, w.due_at, w.timeout_at, w.created_at,
            CASE WHEN m.state = 'live' AND m.ending = 1 THEN 'stopping' ELSE m.state END,
            s.state, s.placement_reason,
            CASE WHEN r.status = 'queued' AND r.queue_limit IS NOT NULL THEN (
                SELECT COUNT(*)
                FROM runs q
                WHERE q.environment_id = r.environment_id AND q.queue = r.queue
                    AND q.queue_key = r.queue_key AND q.status = 'running'
            ) ELSE 0 END"
    };
}

/// A run with its deployment, its pending wait, and its workspace and machine.
macro_rules! select {
    () => {
        concat!(
            "SELECT ",
            columns!(),
            "
        FROM runs r
        JOIN deployments d ON d.id = r.deployment_id
        JOIN workspaces s ON s.id = r.workspace_id
        LEFT JOIN waits w ON w.id = r.wait_id AND w.state IN ('hot', 'parked', 'resuming')
        LEFT JOIN materializations m ON m.workspace_id = r.workspace_id AND m.ended_at IS NULL
        "
        )
    };
}

sql! {
    FIND = concat!(select!(), "WHERE r.id = $1");

    LIST_IN_WORKSPACE = concat!(select!(), "WHERE r.workspace_id = $1
            AND r.status IN ('queued', 'running', 'waiting')
            AND r.status IN ('running', 'waiting')
        ORDER BY r.id");

    LIST_QUEUED_IN_WORKSPACE = concat!(select!(), "WHERE r.workspace_id = $1
            AND r.status IN ('queued', 'running', 'waiting')
            AND r.status = 'queued' AND r.not_before_at <= $2
        ORDER BY r.priority DESC, r.queued_at, r.id");

    LIST = concat!(select!(), "WHERE r.organization_id = $1 AND r.project_id = $2
            AND r.environment_id = $3
            AND (CAST($4 AS TEXT) IS NULL OR r.status = $4)
            AND (CAST($5 AS TEXT) IS NULL OR r.task_id = $5)
            AND r.id < $6
        ORDER BY r.id DESC
        LIMIT $7");

    LIST_OF_SESSION = concat!(select!(), "WHERE r.organization_id = $1 AND r.project_id = $2
            AND r.environment_id = $3
            AND (CAST($4 AS TEXT) IS NULL OR r.status = $4)
            AND (CAST($5 AS TEXT) IS NULL OR r.task_id = $5)
            AND r.id < $6
            AND r.session_id = $8
        ORDER BY r.number DESC
        LIMIT $7");
}

pub(super) fn read(mut row: Row) -> Result<RunRow> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let session_id = row.take("session_id")?;
    let workspace_id = row.take("workspace_id")?;
    let deployment_id = row.take("deployment_id")?;
    let deployment_version = row.take("version")?;
    let task_row_id = row.take("task_row_id")?;
    let task_id = row.take("task_id")?;
    let number = row.take("number")?;
    let reason = row.take("reason")?;
    let exit_code = row.take("exit_code")?;
    let metadata = row.take("metadata")?;
    let priority = row.take("priority")?;
    let queue = read_queue(row)?;
    let provenance = row.take("provenance")?;
    let created_at = row.take("created_at")?;
    let started_at = row.take("started_at")?;
    let consumed = row.take("consumed")?;
    let entries = row.take("entries")?;
    let (state, attempt, ended_at) = read_state(row)?;
    let pending_wait = read_pending_wait(row)?;
    let mut placement = read_placement(row, &state)?;
    let before: u32 = row.take("running in queue")?;
    if let (Some(placement), Some(reason)) = (&mut placement, full(queue.as_ref(), before)) {
        placement.reason.get_or_insert(reason);
    }
    let attempt_number = match state.state {
        State::Queued { .. } => None,
        _ => Some(attempt).filter(|attempt| *attempt > 0),
    };
    let run = Run {
        id,
        scope,
        session_id,
        workspace_id,
        deployment_id,
        deployment_version,
        task_row_id,
        task_id,
        number,
        reason,
        state,
        attempt_number,
        exit_code,
        metadata,
        pending_wait,
        placement,
        priority,
        queue,
        provenance,
        created_at,
        started_at,
        ended_at,
    };
    Ok(RunRow {
        run,
        attempt,
        consumed,
        entries,
    })
}

fn read_queue(row: &mut Row) -> Result<Option<Queue>> {
    let name: Option<String> = row.take("queue")?;
    let concurrency_limit = row.take("queue_limit")?;
    let key: String = row.take("queue_key")?;
    Ok(name.map(|name| Queue {
        name,
        concurrency_limit,
        concurrency_key: Some(key).filter(|key| !key.is_empty()),
    }))
}

/// Why a queued run is not leased though there is room for it. `running`: runs that count against its limit.
fn full(queue: Option<&Queue>, running: u32) -> Option<String> {
    let queue = queue?;
    let limit = queue.concurrency_limit.filter(|limit| running >= *limit)?;
    let name = &queue.name;
    Some(match &queue.concurrency_key {
        None => format!("queue `{name}` is at its limit of {limit}"),
        Some(key) => format!("queue `{name}` is at its limit of {limit} for `{key}`"),
    })
}

fn read_state(row: &mut Row) -> Result<(Machine, u32, Option<helmr_domain::Timestamp>)> {
    let dispatch_attempts = row.take("dispatch_attempts")?;
    let active = row.take("active_us")?;
    let max_duration = row.take("max_duration_us")?;
    let ttl_at = row.take("ttl_at")?;
    let Json(retry) = row.take("retry")?;
    let stop = read_stop(row)?;
    let status: Status = row.parse("status", |text| text.parse().ok())?;
    let attempt: u32 = row.take("attempt")?;
    let since = row.take("queued_at")?;
    let not_before = row.take("not_before_at")?;
    let started = row.take("started")?;
    let clock: Option<_> = row.take("clock_at")?;
    let wait: Option<_> = row.take("wait_id")?;
    let ended_at: Option<_> = row.take("ended_at")?;
    let output = row.take("output")?;
    let failure: Option<Json<_>> = row.take("failure")?;
    let reason: Option<String> = row.take("cancel_reason")?;
    let reason = reason.and_then(|reason| reason.parse::<StopReason>().ok());
    let text: Option<String> = row.take("cancel_text")?;
    let requested_at: Option<_> = row.take("cancel_requested_at")?;
    let state = match (status, wait, ended_at, failure, reason) {
        (Status::Queued, None, None, None, None) => State::Queued {
            since,
            not_before,
            next_attempt: attempt,
        },
        (Status::Running, None, None, None, None) => State::Running {
            attempt,
            started,
            clock: clock.map_or(Clock::Stopped, Clock::Since),
        },
        (Status::Waiting, Some(wait), None, None, None) => State::Waiting { attempt, wait },
        (Status::Succeeded, None, Some(at), None, None) => State::Succeeded { at, output },
        (Status::Failed, None, Some(at), Some(Json(failure)), None) => {
            State::Failed { at, failure }
        }
        (Status::Cancelled, None, Some(at), None, Some(reason)) => State::Cancelled {
            at,
            reason,
            text,
            requested_at: requested_at.unwrap_or(at),
        },
        (Status::Expired, None, Some(at), None, None) => State::Expired { at },
        _ => return Err(row.corrupt("status")),
    };
    let run = Machine {
        state,
        dispatch_attempts,
        active,
        max_duration,
        ttl_at,
        retry,
        stop,
    };
    Ok((run, attempt, ended_at))
}

fn read_stop(row: &mut Row) -> Result<Option<Stop>> {
    let reason: Option<String> = row.take("stop_reason")?;
    let text = row.take("stop_text")?;
    let requested_at = row.take("stop_requested_at")?;
    let awake = row.take("stop_awake")?;
    let kill_at = row.take("stop_kill_at")?;
    match (
        reason.map(|reason| reason.parse()),
        requested_at,
        awake,
        kill_at,
    ) {
        (None, None, None, None) => Ok(None),
        (Some(Ok(reason)), Some(requested_at), Some(awake), Some(kill_at)) => Ok(Some(Stop {
            reason,
            text,
            requested_at,
            awake,
            kill_at,
        })),
        _ => Err(row.corrupt("stop_reason")),
    }
}

fn read_pending_wait(row: &mut Row) -> Result<Option<PendingWait>> {
    let id = row.take("wait id")?;
    let kind = row.take("wait kind")?;
    let state = row.take("wait state")?;
    let token: Option<TokenId> = row.take("wait token_id")?;
    let stream: Option<String> = row.take("wait stream")?;
    let correlation_id = row.take("wait correlation_id")?;
    let due_at = row.take("wait due_at")?;
    let timeout_at = row.take("wait timeout_at")?;
    let created_at = row.take("wait created_at")?;
    match (id, kind, state, created_at) {
        (Some(id), Some(kind), Some(state), Some(created_at)) => Ok(Some(PendingWait {
            id,
            kind,
            state,
            subject: token.map(|token| token.to_string()).or(stream),
            correlation_id,
            due_at,
            timeout_at,
            created_at,
        })),
        _ => Ok(None),
    }
}

/// Where an unfinished run is, told from its machine.
fn read_placement(row: &mut Row, run: &Machine) -> Result<Option<Placement>> {
    let machine: Option<String> = row.take("machine state")?;
    let workspace: String = row.take("workspace state")?;
    let reason: Option<String> = row.take("placement_reason")?;
    let moving = matches!(
        run.state,
        State::Running {
            clock: Clock::Stopped,
            ..
        }
    );
    let machine = machine.as_deref();
    let state = match run.status() {
        Status::Succeeded | Status::Failed | Status::Cancelled | Status::Expired => {
            return Ok(None);
        }
        Status::Queued => "queued",
        Status::Running if moving => "moving",
        Status::Running | Status::Waiting => match machine {
            Some("requested" | "preparing") => "preparing",
            Some("parking") => "parking",
            Some("parked") => "parked",
            Some("resuming") => "resuming",
            _ => "live",
        },
    };
    let blocked = match workspace.as_str() {
        "recovery_required" => Some(
            "the workspace's files may be newer on a lost worker: wait for it, or go on from the last version",
        ),
        "archived" => Some("the workspace is archived"),
        _ if state == "queued" => match machine {
            Some("parking") => Some("the workspace's machine is parking"),
            Some("stopping") => Some("the workspace's machine is stopping"),
            _ => None,
        },
        _ => None,
    };
    let reason = match state {
        "queued" | "parked" | "moving" => blocked.map(str::to_owned).or(reason),
        _ => None,
    };
    Ok(Some(Placement { state, reason }))
}

pub(crate) async fn find(tx: &mut Tx, id: RunId) -> Result<Option<RunRow>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

/// Runs that have an attempt in a workspace.
pub(crate) async fn active_in(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<RunRow>> {
    let found = tx.rows(&LIST_IN_WORKSPACE, params![workspace]).await?;
    found.into_iter().map(read).collect()
}

/// Queued runs of a workspace whose time has come, whatever their queues say.
pub(super) async fn queued_in(
    tx: &mut Tx,
    workspace: WorkspaceId,
    at: Moment,
) -> Result<Vec<RunRow>> {
    let found = tx
        .rows(&LIST_QUEUED_IN_WORKSPACE, params![workspace, at.now])
        .await?;
    found.into_iter().map(read).collect()
}

pub(super) async fn list(
    tx: &mut Tx,
    scope: Scope,
    filter: &super::Filter,
    before: Option<RunId>,
    limit: u32,
) -> Result<Vec<Run>> {
    let before = before.map_or_else(after_all, |id| id.to_string());
    let mut bound: Vec<Value> = params![
        scope.organization,
        scope.project,
        scope.environment,
        filter.status.map(Status::as_str),
        filter.task_id,
        before,
        u64::from(limit) + 1
    ]
    .to_vec();
    let found = match filter.session {
        Some(session) => {
            bound.extend_from_slice(params![session]);
            tx.rows(&LIST_OF_SESSION, &bound).await?
        }
        None => tx.rows(&LIST, &bound).await?,
    };
    found
        .into_iter()
        .map(|row| read(row).map(|row| row.run))
        .collect()
}

/// A text that sorts after every id.
pub(crate) fn after_all() -> String {
    "~".to_owned()
}
