//! An assignment: everything a worker must know of one leased workspace, read whole.

use helmr_domain::lease::State;
use helmr_domain::machine::Spec;
use helmr_domain::machine::State as MachineState;
use helmr_domain::run::{self, StopReason};
use helmr_domain::{
    CheckpointId, DeploymentId, Duration, Epoch, MaterializationId, RunId, Scope, SessionId,
    Timestamp, VersionId, WaitId, WorkerId, WorkspaceId, limits, wait,
};

use crate::db::{Tx, params, sql};
use crate::execs::Exec;
use crate::forks::{Names, Order};
use crate::machine::{self, MachineRow};
use crate::runs::RunRow;
use crate::wait::WaitRow;
use crate::{Error, Result, Store, execs, forks, lease, runs, wait as waits, workspaces};

#[derive(Debug, Clone, PartialEq)]
pub struct Assignment {
    pub workspace_id: WorkspaceId,
    pub worker_id: WorkerId,
    /// Whose data key goes with it.
    pub scope: Scope,
    pub revision: u64,
    pub epoch: Epoch,
    pub machine: AssignedMachine,
    pub runs: Vec<AssignedRun>,
    pub execs: Vec<Exec>,
    /// Versions that people asked for.
    pub captures: Vec<VersionId>,
    /// Copies of it that are asked for.
    pub forks: Vec<Order>,
    pub auto_stop_after: Duration,
    /// After how long of nothing typed or printed a PTY is idle.
    pub pty_idle_after: Duration,
    /// Until when the machine stays although nothing runs in it.
    pub keep_until: Option<Timestamp>,
    pub want: Want,
    /// The machine was told to end: nothing in it is kept.
    pub ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Live,
    /// Its room is needed elsewhere, or it was told to end.
    Stop,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AssignedMachine {
    pub materialization_id: MaterializationId,
    pub driver: String,
    pub spec: Spec,
    pub origin: Origin,
    /// What runs are called inside, where that is another name than theirs.
    pub names: Names,
}

/// What the machine comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Seed,
    Version {
        version_id: VersionId,
        manifest: String,
    },
    Checkpoint {
        checkpoint_id: CheckpointId,
        version_id: VersionId,
        manifest: String,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct AssignedRun {
    pub run_id: RunId,
    pub session_id: SessionId,
    pub attempt: u32,
    pub deployment_id: DeploymentId,
    pub bundle_sha256: String,
    pub bundle_manifest: String,
    pub started: bool,
    pub hot_window: Duration,
    pub stop: Option<StopOrder>,
    pub outcomes: Vec<Outcome>,
    pub waiting: Option<Waiting>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopOrder {
    pub reason: StopReason,
    /// For the task and for people.
    pub message: String,
    pub kill_at: Timestamp,
}

/// Decided, and not yet with the task.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub wait_id: WaitId,
    pub call_no: u64,
    pub outcome: wait::Outcome,
}

/// The undecided wait that blocks the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    pub wait_id: WaitId,
    pub call_no: u64,
    pub hot_window: Duration,
    /// Since when the run has been idle.
    pub since: Timestamp,
}

sql! {
    HELD_BY = "SELECT id
        FROM workspaces
        WHERE lease_state = 'held' AND lease_worker_id = $1
        ORDER BY id";

    FIND_REVISION = "SELECT s.revision, s.auto_stop_after_us, e.pty_idle_us
        FROM workspaces s
        JOIN environments e ON e.id = s.environment_id
        WHERE s.id = $1";

    FIND_VERSION = "SELECT manifest
        FROM versions
        WHERE id = $1";

    /// The files may have been written since the checkpoint, and captured: it is woken on those.
    FIND_FILES = "SELECT s.current_version_id AS version_id, v.manifest
        FROM workspaces s
        JOIN versions v ON v.id = s.current_version_id
        WHERE s.id = $1";

    FIND_CHECKPOINT = "SELECT c.version_id, v.manifest
        FROM checkpoints c
        JOIN versions v ON v.id = c.version_id
        WHERE c.id = $1";

    FIND_BUNDLE = "SELECT d.bundle_sha256, d.bundle_manifest, e.hot_window_us
        FROM deployments d
        JOIN environments e ON e.id = d.environment_id
        WHERE d.id = $1";
}

/// Reads a workspace's assignment. `None`: nobody holds its lease.
///
/// # Errors
/// If the database fails.
pub async fn assignment(store: &Store, workspace: WorkspaceId) -> Result<Option<Assignment>> {
    store
        .read(workspace, |tx, workspace| Box::pin(read(tx, *workspace)))
        .await
}

/// The workspaces leased to a worker.
///
/// # Errors
/// If the database fails.
pub async fn assigned_to(store: &Store, worker: WorkerId) -> Result<Vec<WorkspaceId>> {
    store
        .read(worker, |tx, worker| Box::pin(held_by(tx, *worker)))
        .await
}

pub(super) async fn held_by(tx: &mut Tx, worker: WorkerId) -> Result<Vec<WorkspaceId>> {
    let found = tx.rows(&HELD_BY, params![worker]).await?;
    found.into_iter().map(|mut row| row.take("id")).collect()
}

async fn read(tx: &mut Tx, workspace: WorkspaceId) -> Result<Option<Assignment>> {
    let Some(leased) = lease::find(tx, workspace).await? else {
        return Ok(None);
    };
    let State::Held { worker, .. } = leased.lease.state else {
        return Ok(None);
    };
    let Some(machine) = machine::current(tx, workspace).await? else {
        return Ok(None);
    };
    let mut row = tx.one(&FIND_REVISION, params![workspace]).await?;
    let revision = row.take("revision")?;
    let auto_stop_after: Option<Duration> = row.take("auto_stop_after_us")?;
    let pty_idle_after: Option<Duration> = row.take("pty_idle_us")?;
    let mut assigned = Vec::new();
    for run in runs::active_in(tx, workspace).await? {
        assigned.push(read_run(tx, &machine, &run).await?);
    }
    Ok(Some(Assignment {
        workspace_id: workspace,
        worker_id: worker,
        scope: leased.scope,
        revision,
        epoch: leased.lease.epoch,
        runs: assigned,
        execs: leased_execs(tx, workspace).await?,
        captures: workspaces::pending_captures(tx, workspace)
            .await?
            .into_iter()
            .map(|request| request.id)
            .collect(),
        forks: forks::orders(tx, workspace).await?,
        auto_stop_after: auto_stop_after.unwrap_or(limits::AUTO_STOP_AFTER),
        pty_idle_after: pty_idle_after.unwrap_or(limits::PTY_IDLE_AFTER),
        ending: machine.ending,
        keep_until: if machine.leaving || machine.ending {
            None
        } else {
            workspaces::kept_until(tx, workspace).await?
        },
        want: if machine.leaving || machine.ending {
            Want::Stop
        } else {
            Want::Live
        },
        machine: AssignedMachine {
            materialization_id: machine.id,
            origin: read_origin(tx, &machine).await?,
            names: machine::names(tx, machine.id).await?,
            driver: machine.driver,
            spec: machine.spec,
        },
    }))
}

/// Those that the machine has.
async fn leased_execs(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<Exec>> {
    let mut active = execs::active_in(tx, workspace).await?;
    active.retain(|exec| exec.state != helmr_domain::exec::State::Queued);
    Ok(active)
}

async fn read_origin(tx: &mut Tx, machine: &MachineRow) -> Result<Origin> {
    // A machine that is live again keeps what it was last made of; the worker that has it does not ask.
    let checkpoint = match machine.state {
        MachineState::Parked { checkpoint } | MachineState::Resuming { checkpoint } => {
            Some(checkpoint)
        }
        MachineState::Requested
        | MachineState::Preparing
        | MachineState::Live
        | MachineState::Parking
        | MachineState::Stopping
        | MachineState::Stopped
        | MachineState::Lost
        | MachineState::Failed => None,
    };
    if let Some(checkpoint_id) = checkpoint {
        // The workspace went on from other files than those that the machine has open.
        let mut row = if machine.superseded {
            tx.one(&FIND_CHECKPOINT, params![checkpoint_id]).await?
        } else {
            tx.one(&FIND_FILES, params![machine.workspace]).await?
        };
        return Ok(Origin::Checkpoint {
            checkpoint_id,
            version_id: row.take("version_id")?,
            manifest: row.take("manifest")?,
        });
    }
    let Some(version_id) = machine.base_version else {
        return Ok(Origin::Seed);
    };
    let mut row = tx.one(&FIND_VERSION, params![version_id]).await?;
    Ok(Origin::Version {
        version_id,
        manifest: row.take("manifest")?,
    })
}

async fn read_run(tx: &mut Tx, machine: &MachineRow, row: &RunRow) -> Result<AssignedRun> {
    let run = &row.run;
    let mut bundle = tx.one(&FIND_BUNDLE, params![run.deployment_id]).await?;
    let bundle_sha256 = bundle.take("bundle_sha256")?;
    let bundle_manifest = bundle.take("bundle_manifest")?;
    let configured: Option<Duration> = bundle.take("hot_window_us")?;
    // Its room is needed: nothing stays hot.
    let hot = |window: Duration| {
        if machine.leaving {
            Duration::ZERO
        } else {
            window
        }
    };
    let mut outcomes = Vec::new();
    let mut waiting = None;
    for wait in waits::undelivered(tx, run.workspace_id, run.id).await? {
        match &wait.wait.state {
            wait::State::Resuming(decided) => outcomes.push(Outcome {
                wait_id: wait.id,
                call_no: wait.call_no,
                outcome: decided.outcome.clone(),
            }),
            wait::State::Hot | wait::State::Parked => {
                if blocks(run, &wait) {
                    waiting = Some(Waiting {
                        wait_id: wait.id,
                        call_no: wait.call_no,
                        hot_window: hot(wait.hot_window),
                        since: wait.idle_at,
                    });
                }
            }
            wait::State::Resolved(_)
            | wait::State::TimedOut(_)
            | wait::State::Cancelled { .. }
            | wait::State::Failed { .. } => {}
        }
    }
    Ok(AssignedRun {
        run_id: run.id,
        session_id: run.session_id,
        attempt: run.state.attempt().ok_or(Error::NotFound("attempt"))?,
        deployment_id: run.deployment_id,
        bundle_sha256,
        bundle_manifest,
        started: match run.state.state {
            run::State::Running { started, .. } => started,
            run::State::Waiting { .. } => true,
            run::State::Queued { .. }
            | run::State::Succeeded { .. }
            | run::State::Failed { .. }
            | run::State::Cancelled { .. }
            | run::State::Expired { .. } => false,
        },
        hot_window: hot(configured.unwrap_or(limits::HOT_WINDOW)),
        stop: run.state.stop.as_ref().map(|stop| StopOrder {
            reason: stop.reason,
            message: stop.message().to_owned(),
            kill_at: stop.kill_at,
        }),
        outcomes,
        waiting,
    })
}

fn blocks(run: &runs::Run, wait: &WaitRow) -> bool {
    matches!(run.state.state, run::State::Waiting { wait: current, .. } if current == wait.id)
}
