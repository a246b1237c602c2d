//! Reports on runs.

mod finish;
mod register;
mod start;

use helmr_domain::timer::Clock;
use helmr_domain::{Duration, Failure, Moment, StreamName, Timestamp, TokenId, WaitId};
use serde_json::Value;

use crate::deployments::Task;
use crate::runs::Run;
use crate::sessions::Session;
use crate::worker::RunFence;

pub use finish::run_finished;
pub use register::{drop_wait, register_wait, wait_delivered};
pub use start::{run_input, run_started};

/// What a run begins with.
#[derive(Debug, Clone, PartialEq)]
pub struct RunInput {
    pub run: Run,
    pub session: Session,
    pub task: Task,
    pub bundle_sha256: String,
    pub mount_path: String,
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
    /// Of one that does not block: it keeps the run running until it is dropped, even when its outcome is delivered.
    pub hold: bool,
}

#[derive(Debug, Clone, Copy)]
pub struct DropWait {
    pub at: Moment,
    pub fence: RunFence,
    pub call_no: u64,
    /// The call that registered the wait.
    pub dropped: u64,
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
        clock: Clock,
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

#[derive(Debug, Clone, Copy)]
pub struct Deliver {
    pub at: Moment,
    pub fence: RunFence,
    pub wait_id: WaitId,
}

#[derive(Debug, Clone)]
pub struct Finish {
    pub at: Moment,
    pub fence: RunFence,
    pub finished: Finished,
    /// Calls whose outcome the task was given and did not take: records in them are unread again.
    pub untaken: Vec<u64>,
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
