//! Reports on runs.

use helmr_domain::{
    CanonicalJson, Duration, Failure, Moment, RunId, StreamName, Timestamp, TokenId, WaitId,
};
use serde_json::Value;

use crate::deployments::Task;
use crate::runs::Run;
use crate::sessions::Session;
use crate::worker::RunFence;
use crate::{Result, Store};

/// What a run begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInput {
    pub run: Run,
    pub session: Session,
    pub task: Task,
    pub bundle_sha256: String,
    pub mount_path: String,
}

/// Reads what a run begins with.
///
/// # Errors
/// `Stale`.
pub async fn run_input(store: &Store, fence: RunFence) -> Result<RunInput> {
    todo!()
}

/// The task's code begins.
///
/// # Errors
/// `Stale`.
pub async fn run_started(store: &Store, fence: RunFence, at: Moment) -> Result<()> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct RegisterWait {
    pub at: Moment,
    pub fence: RunFence,
    pub call_no: u64,
    pub wait_for: WaitFor,
    pub timeout_at: Option<Timestamp>,
    /// `None`: the environment's.
    pub hot_window: Option<Duration>,
    /// `false` for `once` and `on`: the run stays running.
    pub blocking: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitFor {
    Token(TokenId),
    Stream {
        stream: StreamName,
        correlation_id: Option<String>,
    },
    Timer {
        due_at: Timestamp,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    pub wait_id: WaitId,
    pub hot_window: Duration,
    pub blocking: bool,
    /// Its condition was met: the outcome is in the assignment.
    pub decided: bool,
}

/// Registers a wait, once for each call. One whose condition is met has its outcome at once and does not block the run.
///
/// # Errors
/// `Stale`; `NotFound("token")`; `Refused`: `ConcurrentWait`, `RunStopping`, `StreamUnknown`.
pub async fn register_wait(store: &Store, input: RegisterWait) -> Result<Registered> {
    todo!()
}

#[derive(Debug, Clone, Copy)]
pub struct Deliver {
    pub at: Moment,
    pub fence: RunFence,
    pub wait_id: WaitId,
}

/// The task has an outcome: the wait is over, its record is read, the run goes on.
///
/// # Errors
/// `Stale`; `Refused(WaitOver)` if there was none to deliver.
pub async fn wait_delivered(store: &Store, input: Deliver) -> Result<()> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct Finish {
    pub at: Moment,
    pub fence: RunFence,
    pub finished: Finished,
    pub exit_code: Option<i32>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Finished {
    Succeeded {
        output: Option<Value>,
    },
    Failed(Failure),
    /// Ended after an order to stop.
    Stopped,
}

/// The attempt ended. The first end told counts; the session's next run may begin with it.
///
/// # Errors
/// `Stale`.
pub async fn run_finished(store: &Store, input: Finish) -> Result<Option<RunId>> {
    todo!()
}
