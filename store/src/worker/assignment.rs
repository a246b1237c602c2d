//! An assignment: everything a worker must know of one leased workspace, read whole.

use helmr_domain::machine::Spec;
use helmr_domain::run::StopReason;
use helmr_domain::{
    CheckpointId, DeploymentId, Duration, Epoch, MaterializationId, RunId, Scope, SessionId,
    Timestamp, VersionId, WaitId, WorkerId, WorkspaceId, wait,
};

use crate::{Result, Store};

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
    pub auto_stop_after: Duration,
    pub want: Want,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Live,
    /// Its room is needed elsewhere.
    Stop,
}

#[derive(Debug, Clone, PartialEq)]
pub struct AssignedMachine {
    pub materialization_id: MaterializationId,
    pub driver: String,
    pub spec: Spec,
    pub origin: Origin,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopOrder {
    pub reason: StopReason,
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
    pub since: Timestamp,
}

/// Reads a workspace's assignment. `None`: nobody holds its lease.
///
/// # Errors
/// If the database fails.
pub async fn assignment(store: &Store, workspace: WorkspaceId) -> Result<Option<Assignment>> {
    todo!()
}

/// The workspaces leased to a worker.
///
/// # Errors
/// If the database fails.
pub async fn assigned_to(store: &Store, worker: WorkerId) -> Result<Vec<WorkspaceId>> {
    todo!()
}
