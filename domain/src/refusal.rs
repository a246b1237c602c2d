//! Why a command is refused. The words for people, codes and statuses are given at the edge.

use crate::quota::Quota;
use crate::{RunId, WorkspaceId};

/// A command that the state of its object does not allow. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The epoch is not that of the workspace's lease, or the attempt is over.
    #[error("the lease is not held any more")]
    StaleLease,
    /// Input that is not the next.
    #[error("the exec's next input is at {expected}")]
    ExecInputOutOfStep { expected: u64 },
    #[error("the exec has not taken enough of its input yet")]
    ExecInputFull,
    #[error("the exec takes no more input")]
    ExecInputClosed,
    #[error("the PTY has ended")]
    PtyEnded,
    #[error("the token has expired")]
    TokenExpired,
    #[error("the token was completed with other data")]
    TokenCompletionConflict,
    #[error("the token was cancelled")]
    TokenCancelled,
    #[error("the token is completed")]
    TokenCompleted,
    #[error("the session was started with another task, workspace or payload")]
    SessionFingerprintMismatch,
    #[error("a run of the session is active")]
    SessionRunActive { run_id: RunId },
    #[error("the session is not open")]
    SessionNotOpen,
    #[error("the run is already waiting")]
    ConcurrentWait,
    #[error("the run is told to stop")]
    RunStopping,
    #[error("the run has ended")]
    RunFinished,
    #[error("the run has not ended")]
    RunNotFinished,
    /// The command belongs to another state: a worker's report that came too late or out of order.
    #[error("the run is {status}")]
    RunNotInState { status: &'static str },
    #[error("the wait is over")]
    WaitOver,
    #[error("the machine has work")]
    MachineBusy,
    #[error("the machine is {state}")]
    MachineNotInState { state: &'static str },
    #[error("the workspace has another shape than the task's sandbox")]
    WorkspaceIncompatible { differs: String },
    #[error("the workspace is {state}")]
    WorkspaceNotActive { state: String },
    #[error("runs in the workspace have not ended")]
    WorkspaceBusy { run_ids: Vec<RunId> },
    #[error("the workspace has no files yet")]
    WorkspaceEmpty,
    #[error("the workspace's machine is {state}")]
    WorkspaceNotStopped { state: String },
    /// `workspace_id`: the one that has it, if that can still be told.
    #[error("another workspace has the external id")]
    ExternalIdTaken { workspace_id: Option<WorkspaceId> },
    /// There is no machine that could be forked, or it is about to end.
    #[error("the workspace has no machine to fork: {why}")]
    NothingToFork { why: String },
    #[error("its sessions hold {records} records, and a live fork takes {limit} along at most")]
    ForkTooLarge { records: u64, limit: u64 },
    /// The fork was made otherwise, given up or asked for anew.
    #[error("the fork is not asked for any more")]
    ForkOver,
    #[error("no deployment of the environment is promoted")]
    NoDeployment,
    #[error("the deployment is not deployed")]
    DeploymentNotReady,
    #[error("the task declares secrets that are not set")]
    SecretMissing { names: Vec<String> },
    #[error("the stream is not declared")]
    StreamUnknown { stream: String },
    #[error("the record's key was used for another record")]
    RecordKeyReused,
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    #[error("the metadata is larger than {limit_bytes} bytes")]
    MetadataTooLarge { limit_bytes: usize },
    #[error("the metadata key holds no number")]
    MetadataNotNumber { key: String },
    #[error("output is expected from offset {expected} on")]
    LogOutOfStep { expected: u64 },
    #[error("{left} bytes more may be kept of the run's log")]
    LogOverBudget { left: u64 },
    /// `used` may be over `limit`, which came later.
    #[error("the environment's quota of {limit} {quota} is used up ({used})")]
    QuotaExceeded { quota: Quota, limit: u64, used: u64 },
    #[error("the public access token is spent")]
    PublicTokenSpent,
}
