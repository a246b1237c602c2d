//! Sessions: started, read, closed and cancelled.

use helmr_domain::session::State;
use helmr_domain::{
    CanonicalJson, DeploymentId, Duration, Failure, Moment, ResourceName, RunId, Scope, SessionId,
    TaskRowId, Timestamp, WorkspaceId,
};
use serde_json::Value;

mod create;
mod end;
mod list;
mod read;
mod row;
mod tags;
mod update;

pub(crate) use end::{Next, Why, cancel_in, create_run, end_run, expire, stop_run};
pub(crate) use row::{SessionRow, find, next_position};

use crate::idempotency::Idempotency;
use crate::runs::Run;

pub use create::start;
pub use end::{cancel, close};
pub use read::{find_by_external_id, get, list};
pub use update::{Update, update};

#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: SessionId,
    pub scope: Scope,
    pub external_id: Option<String>,
    pub task_id: ResourceName,
    pub task_row_id: TaskRowId,
    pub deployment_id: DeploymentId,
    pub workspace_id: WorkspaceId,
    pub state: State,
    pub activity: Activity,
    /// The run that has not ended.
    pub active_run: Option<RunId>,
    pub last_run: Option<RunId>,
    pub payload: Option<CanonicalJson>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub expires_at: Option<Timestamp>,
    /// Output of the last run, if it succeeded.
    pub result: Option<Value>,
    /// Of the last run, if it failed.
    pub error: Option<Failure>,
    /// What whoever cancelled it gave as the reason.
    pub cancel_text: Option<String>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// What an open session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    Idle,
    Queued,
    Running,
    Waiting,
}

impl Activity {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

/// A session to start.
#[derive(Clone)]
pub struct Start {
    pub at: Moment,
    pub scope: Scope,
    /// The task against whose schema the payload was checked.
    pub task: TaskRowId,
    pub external_id: Option<String>,
    pub payload: Option<CanonicalJson>,
    /// `None`: a new one.
    pub workspace: Option<WorkspaceId>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub run: RunOptions,
    pub provenance: Value,
    pub idempotency: Option<Idempotency<Started>>,
}

/// What the caller chose for the session's runs.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct RunOptions {
    /// `None`: the task's.
    pub max_duration: Option<Duration>,
    /// `None`: the task's.
    pub ttl: Option<Duration>,
    /// `None`: that of the task's queue.
    #[serde(default)]
    pub priority: Option<i64>,
    /// `None`: that of the task's queue.
    #[serde(default)]
    pub concurrency_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Started {
    pub session: Session,
    pub run: Run,
    /// The session was there, and maybe its run.
    pub reused: bool,
}

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub status: Option<String>,
    pub task_id: Option<String>,
    pub external_id: Option<String>,
    pub workspace: Option<WorkspaceId>,
    pub tag: Option<String>,
}
