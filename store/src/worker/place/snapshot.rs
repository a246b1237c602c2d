//! What is wanted and what is there.

use helmr_domain::machine::{Spec, State};
use helmr_domain::placement::{Capacity, Demand, Idle, NO_ROOM, Worker};
use helmr_domain::{CheckpointId, DeploymentId, Moment, WorkerId, WorkspaceId};
use serde_json::Value;

use super::PlaceNext;
use crate::db::{Json, Row, Tx, params, sql};
use crate::machine::mebibytes;
use crate::{Error, Result, deployments, execs, workspaces};

/// A workspace in which something is to happen.
pub(super) struct Wanted {
    pub(super) workspace: WorkspaceId,
    pub(super) machine: Option<State>,
    pub(super) last_worker: Option<WorkerId>,
}

sql! {
    /// The outer joins keep SQLite from beginning with all machines or all workspaces.
    WANTED = "WITH busy AS (
            -- what runs in each queue
            SELECT environment_id, queue, queue_key, COUNT(*) AS running
            FROM runs
            WHERE status = 'running' AND queue IS NOT NULL
            GROUP BY environment_id, queue, queue_key
        ),
        heads AS (
            -- whose turn it is in a queue that has a limit
            SELECT r.environment_id, r.queue, r.queue_key, r.queue_limit, r.workspace_id,
                r.priority, r.queued_at,
                ROW_NUMBER() OVER (
                    PARTITION BY r.environment_id, r.queue, r.queue_key
                    ORDER BY r.priority DESC, r.queued_at, r.id
                ) AS place
            FROM runs r
            LEFT JOIN workspaces s ON s.id = r.workspace_id
            WHERE r.status = 'queued' AND r.queue_limit IS NOT NULL AND r.not_before_at <= $1
                AND (r.ttl_at IS NULL OR r.ttl_at > $1 OR r.attempt > 1)
                AND COALESCE(s.state, '') = 'active'
        ),
        wanting AS (
            -- outcomes for machines that are parked
            SELECT w.workspace_id AS workspace_id, 0 AS rank, 0 AS priority, w.decided_at AS since
            FROM waits w
            LEFT JOIN materializations m ON m.workspace_id = w.workspace_id AND m.ended_at IS NULL
            WHERE w.state = 'resuming' AND COALESCE(m.state, '') = 'parked'
            UNION ALL
            -- runs that were set aside while they ran
            SELECT r.workspace_id, 0, 0, r.created_at
            FROM runs r
            LEFT JOIN materializations m ON m.workspace_id = r.workspace_id AND m.ended_at IS NULL
            WHERE r.status = 'running' AND r.clock_at IS NULL AND COALESCE(m.state, '') = 'parked'
            UNION ALL
            -- parked runs that are told to stop, for their grace
            SELECT r.workspace_id, 0, 0, r.stop_requested_at
            FROM runs r
            LEFT JOIN materializations m ON m.workspace_id = r.workspace_id AND m.ended_at IS NULL
            WHERE r.stop_reason IS NOT NULL AND r.status IN ('running', 'waiting')
                AND COALESCE(m.state, '') = 'parked'
            UNION ALL
            -- execs for which there is no machine, or one that was set aside with them; and those that are to join one
            SELECT e.workspace_id, 0, 0, e.created_at
            FROM execs e
            LEFT JOIN materializations m ON m.workspace_id = e.workspace_id AND m.ended_at IS NULL
            WHERE e.ended_at IS NULL
                -- a PTY that is idle parks with its machine
                AND e.idle = 0
                AND (e.state = 'queued' OR COALESCE(m.state, 'parked') = 'parked')
            UNION ALL
            -- parked machines that are to end, whose files were written since
            SELECT m.workspace_id, 0, 0, m.parked_at
            FROM materializations m
            WHERE m.ended_at IS NULL AND m.state = 'parked' AND m.ending = 1 AND m.touched = 1
            UNION ALL
            -- parked machines that are to be copied
            SELECT f.source_id, 0, 0, f.requested_at
            FROM forks f
            LEFT JOIN materializations m ON m.workspace_id = f.source_id AND m.ended_at IS NULL
            WHERE f.state = 'requested' AND COALESCE(m.state, '') = 'parked'
            UNION ALL
            -- machines that are asked for by themselves
            SELECT s.id, 0, 0, s.machine_wanted_at
            FROM workspaces s
            LEFT JOIN materializations m ON m.workspace_id = s.id AND m.ended_at IS NULL
            WHERE s.machine_wanted_at IS NOT NULL AND COALESCE(m.state, 'parked') = 'parked'
            UNION ALL
            -- the head of the queue, of runs without a limit
            SELECT q.workspace_id, 1, q.priority, q.queued_at
            FROM (
                SELECT r.workspace_id, r.priority, r.queued_at
                FROM runs r
                LEFT JOIN workspaces s ON s.id = r.workspace_id
                WHERE r.status = 'queued' AND r.queue_limit IS NULL AND r.not_before_at <= $1
                    AND (r.ttl_at IS NULL OR r.ttl_at > $1 OR r.attempt > 1)
                    AND COALESCE(s.state, '') = 'active'
                ORDER BY r.priority DESC, r.queued_at, r.id
                LIMIT $2
            ) q
            UNION ALL
            -- the heads of the queues that have a limit, as far as it leaves room
            SELECT l.workspace_id, 1, l.priority, l.queued_at
            FROM (
                SELECT h.workspace_id, h.priority, h.queued_at
                FROM heads h
                LEFT JOIN busy b ON b.environment_id = h.environment_id AND b.queue = h.queue
                    AND b.queue_key = h.queue_key
                WHERE h.place + COALESCE(b.running, 0) <= h.queue_limit
                ORDER BY h.priority DESC, h.queued_at, h.workspace_id
                LIMIT $2
            ) l
        ),
        -- a workspace once, by what in it comes first
        firsts AS (
            SELECT workspace_id, MIN(rank) AS rank, MAX(priority) AS priority, MIN(since) AS since
            FROM wanting
            GROUP BY workspace_id
        )
        SELECT x.workspace_id, m.state, m.checkpoint_id, s.last_worker_id
        FROM firsts x
        LEFT JOIN workspaces s ON s.id = x.workspace_id
        LEFT JOIN materializations m ON m.workspace_id = x.workspace_id AND m.ended_at IS NULL
        -- in a deleted one, runs that are told to stop still have their grace
        WHERE COALESCE(s.state, '') IN ('active', 'deleted')
            AND (m.state IS NULL OR m.state <> 'parked' OR m.not_before_at <= $1)
        -- what only another worker can help comes last, so that it does not fill the window
        ORDER BY CASE WHEN COALESCE(s.placement_reason, $3) = $3 THEN 0 ELSE 1 END,
            x.rank, x.priority DESC, x.since, x.workspace_id
        LIMIT $2";

    /// What the first queued run of a workspace needs.
    QUEUED_NEED = "SELECT r.deployment_id, d.worker_protocol, t.sandbox
        FROM runs r
        JOIN deployments d ON d.id = r.deployment_id
        JOIN deployment_tasks t ON t.id = r.task_row_id
        WHERE r.workspace_id = $1 AND r.status IN ('queued', 'running', 'waiting')
            AND r.status = 'queued' AND r.not_before_at <= $2
        ORDER BY r.priority DESC, r.queued_at, r.id
        LIMIT 1";

    /// What a workspace needs in which no run is queued.
    WORKSPACE_NEED = "SELECT s.deployment_id, d.worker_protocol, s.sandbox
        FROM workspaces s
        JOIN deployments d ON d.id = s.deployment_id
        WHERE s.id = $1";

    /// What a parked machine needs, and where its checkpoint is.
    PARKED_NEED = "SELECT m.cpu_millis, m.memory_mib, m.driver, m.protocol, c.worker_id
        FROM materializations m
        JOIN checkpoints c ON c.id = m.checkpoint_id
        WHERE m.workspace_id = $1 AND m.ended_at IS NULL";

    WORKERS = "SELECT id, cpu_millis, memory_mib, disk_mib, slots, free, drivers, protocols
        FROM workers
        WHERE state = 'active' AND connected = 1 AND last_seen_at >= $1
        ORDER BY id";

    USED = "SELECT worker_id, CAST(SUM(cpu_millis) AS BIGINT), CAST(SUM(memory_mib) AS BIGINT),
            COUNT(*)
        FROM materializations
        WHERE ended_at IS NULL AND state <> 'parked'
        GROUP BY worker_id";

    /// Live machines in which nothing runs, longest live first. What is queued in their workspaces is not at its turn, or it
    /// would have joined.
    IDLE = "SELECT m.worker_id, m.workspace_id, m.cpu_millis, m.memory_mib, m.leaving
        FROM materializations m
        WHERE m.ended_at IS NULL AND m.state <> 'parked' AND m.state = 'live'
            AND NOT EXISTS (
                SELECT 1
                FROM runs r
                WHERE r.workspace_id = m.workspace_id
                    AND r.status IN ('queued', 'running', 'waiting')
                    AND (r.status = 'running' OR r.stop_reason IS NOT NULL)
            )
            AND NOT EXISTS (
                SELECT 1
                FROM execs e
                WHERE e.workspace_id = m.workspace_id AND e.ended_at IS NULL AND e.idle = 0
            )
            AND NOT EXISTS (
                SELECT 1
                FROM waits w
                WHERE w.workspace_id = m.workspace_id
                    AND w.state IN ('hot', 'parked', 'resuming') AND w.state = 'resuming'
            )
        ORDER BY m.live_at, m.id";
}

pub(super) async fn wanted(tx: &mut Tx, input: PlaceNext) -> Result<Vec<Wanted>> {
    let bound = params![input.at.now, input.limit, NO_ROOM];
    let found = tx.rows(&WANTED, bound).await?;
    found.into_iter().map(read_wanted).collect()
}

fn read_wanted(mut row: Row) -> Result<Wanted> {
    let workspace = row.take("workspace_id")?;
    let state: Option<String> = row.take("state")?;
    let checkpoint: Option<CheckpointId> = row.take("checkpoint_id")?;
    let machine = match (state.as_deref(), checkpoint) {
        (None, None) => None,
        (Some("requested"), None) => Some(State::Requested),
        (Some("preparing"), None) => Some(State::Preparing),
        (Some("live"), None) => Some(State::Live),
        (Some("parking"), None) => Some(State::Parking),
        (Some("stopping"), None) => Some(State::Stopping),
        (Some("parked"), Some(checkpoint)) => Some(State::Parked { checkpoint }),
        (Some("resuming"), Some(checkpoint)) => Some(State::Resuming { checkpoint }),
        _ => return Err(row.corrupt("state")),
    };
    Ok(Wanted {
        workspace,
        machine,
        last_worker: row.take("last_worker_id")?,
    })
}

/// The machines that need a worker, in the order of `wanted`.
pub(super) async fn demands(tx: &mut Tx, wanted: &[Wanted], at: Moment) -> Result<Vec<Demand>> {
    let mut demands = Vec::new();
    for one in wanted {
        match one.machine {
            None => demands.extend(start(tx, one, at).await?),
            Some(State::Parked { .. }) => demands.push(wake(tx, one).await?),
            Some(
                State::Requested
                | State::Preparing
                | State::Live
                | State::Parking
                | State::Resuming { .. }
                | State::Stopping
                | State::Stopped
                | State::Lost
                | State::Failed,
            ) => {}
        }
    }
    Ok(demands)
}

/// What a new machine is to be made of.
pub(super) struct Need {
    pub(super) spec: Spec,
    pub(super) protocol: u32,
}

pub(super) async fn queued_need(
    tx: &mut Tx,
    workspace: WorkspaceId,
    at: Moment,
) -> Result<Option<Need>> {
    let bound = params![workspace, at.now];
    let mut found = tx.find(&QUEUED_NEED, bound).await?;
    if found.is_none()
        && (execs::has_queued(tx, workspace).await?
            || workspaces::wants_machine(tx, workspace).await?)
    {
        found = tx.find(&WORKSPACE_NEED, params![workspace]).await?;
    }
    let Some(mut row) = found else {
        return Ok(None);
    };
    let deployment: DeploymentId = row.take("deployment_id")?;
    let protocol = row.take("worker_protocol")?;
    let sandbox: String = row.take("sandbox")?;
    let sandbox = deployments::find_sandbox(tx, deployment, &sandbox)
        .await?
        .ok_or(Error::NotFound("sandbox"))?;
    Ok(Some(Need {
        spec: sandbox.spec,
        protocol,
    }))
}

async fn start(tx: &mut Tx, one: &Wanted, at: Moment) -> Result<Option<Demand>> {
    let need = queued_need(tx, one.workspace, at).await?;
    Ok(need.map(|need| Demand {
        workspace: one.workspace,
        cpu_millis: u64::from(need.spec.cpu_millis),
        memory_mib: mebibytes(need.spec.memory_bytes),
        driver: None,
        only: None,
        prefer: one.last_worker,
        protocol: need.protocol,
    }))
}

async fn wake(tx: &mut Tx, one: &Wanted) -> Result<Demand> {
    let mut row = tx.one(&PARKED_NEED, params![one.workspace]).await?;
    let cpu_millis = row.take("cpu_millis")?;
    let memory_mib = row.take("memory_mib")?;
    let driver: String = row.take("driver")?;
    let protocol = row.take("protocol")?;
    // Its checkpoint is on that worker's disk alone.
    let holder = row.take("worker_id")?;
    Ok(Demand {
        workspace: one.workspace,
        cpu_millis,
        memory_mib,
        driver: Some(driver),
        only: Some(holder),
        prefer: Some(holder),
        protocol,
    })
}

/// Workers that may be given machines, with what is taken of them.
pub(super) async fn workers(tx: &mut Tx, input: PlaceNext) -> Result<Vec<Worker>> {
    let fresh = input.at.now.before(input.worker_fresh_for);
    let found = tx.rows(&WORKERS, params![fresh]).await?;
    let mut workers = found
        .into_iter()
        .map(read_worker)
        .collect::<Result<Vec<_>>>()?;
    for mut row in tx.rows(&USED, &[]).await? {
        let id: WorkerId = row.take("worker_id")?;
        let used = Capacity {
            cpu_millis: row.take("cpu_millis")?,
            memory_mib: row.take("memory_mib")?,
            disk_mib: 0,
            slots: row.take("slots")?,
        };
        if let Some(worker) = workers.iter_mut().find(|worker| worker.id == id) {
            worker.used = used;
        }
    }
    Ok(workers)
}

fn read_worker(mut row: Row) -> Result<Worker> {
    let id = row.take("id")?;
    let capacity = Capacity {
        cpu_millis: row.take("cpu_millis")?,
        memory_mib: row.take("memory_mib")?,
        disk_mib: row.take("disk_mib")?,
        slots: row.take("slots")?,
    };
    let Json(free): Json<Capacity> = row.take("free")?;
    let Json(drivers): Json<Vec<Value>> = row.take("drivers")?;
    let Json(protocols) = row.take("protocols")?;
    Ok(Worker {
        id,
        capacity,
        used: Capacity::default(),
        disk_free_mib: free.disk_mib,
        drivers: drivers
            .iter()
            .filter_map(|driver| driver.get("name")?.as_str().map(str::to_owned))
            .collect(),
        protocols,
        idle: Vec::new(),
    })
}

/// Adds the machines that could make room.
pub(super) async fn add_idle(tx: &mut Tx, workers: &mut [Worker]) -> Result<()> {
    for mut row in tx.rows(&IDLE, &[]).await? {
        let id: WorkerId = row.take("worker_id")?;
        let idle = Idle {
            workspace: row.take("workspace_id")?,
            cpu_millis: row.take("cpu_millis")?,
            memory_mib: row.take("memory_mib")?,
            leaving: row.take("leaving")?,
        };
        if let Some(worker) = workers.iter_mut().find(|worker| worker.id == id) {
            worker.idle.push(idle);
        }
    }
    Ok(())
}
