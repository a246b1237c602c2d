//! Deployments: immutable snapshots of a task project, and which of them is promoted.

mod change;
mod read;
mod row;

use helmr_domain::machine::Spec;
use helmr_domain::run::Retry;
use helmr_domain::stream::Direction;
use helmr_domain::{
    DeploymentId, Duration, Moment, ResourceName, Scope, StreamName, TaskRowId, Timestamp,
};
use serde_json::Value;

use crate::idempotency::Idempotency;

pub use change::{create, promote};
pub use read::{current, get, list, sandboxes, streams};
pub(crate) use row::{find_sandbox, find_task, list_tasks};

#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    pub id: DeploymentId,
    pub scope: Scope,
    /// `YYYYMMDD.N`.
    pub version: String,
    pub status: Status,
    pub content_hash: String,
    /// Hex SHA-256 of the bundle archive.
    pub bundle_sha256: String,
    pub bundle_manifest: String,
    pub bundle_size_bytes: u64,
    pub worker_protocol: u32,
    pub provenance: Value,
    pub failure: Option<String>,
    pub created_at: Timestamp,
    pub deployed_at: Option<Timestamp>,
    /// Whether it is the environment's promoted one.
    pub promoted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Queued,
    Building,
    Deployed,
    Failed,
}

impl Status {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Building => "building",
            Self::Deployed => "deployed",
            Self::Failed => "failed",
        }
    }
}

/// A task as its deployment has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub id: TaskRowId,
    pub scope: Scope,
    pub deployment_id: DeploymentId,
    pub task_id: ResourceName,
    pub sandbox: String,
    pub module: String,
    pub export: String,
    pub max_duration: Duration,
    pub ttl: Option<Duration>,
    pub queue: Option<TaskQueue>,
    pub retry: Retry,
    /// Names of the secrets it declares.
    pub secrets: Vec<String>,
    /// JSON Schema; `None`: the task takes no payload.
    pub payload_schema: Option<Value>,
    /// Everything the indexer found, for people.
    pub definition: Value,
}

/// The queue that a task declares.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TaskQueue {
    pub name: String,
    /// Runs of the queue that may be running at once; `None`: any number.
    pub concurrency_limit: Option<u32>,
    /// Runs with different keys are counted apart.
    pub concurrency_key: Option<String>,
    /// Higher goes first.
    pub priority: i64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sandbox {
    pub name: String,
    /// What a workspace must match to be attached.
    pub fingerprint: String,
    pub spec: Spec,
    pub definition: Value,
}

/// A stream as one task declares it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    pub task_id: ResourceName,
    pub direction: Direction,
    pub name: StreamName,
    pub schema: Value,
}

/// A deployment to make. Ids are made from `at`.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    pub content_hash: String,
    pub bundle_sha256: String,
    pub bundle_manifest: String,
    pub bundle_size_bytes: u64,
    pub worker_protocol: u32,
    pub provenance: Value,
    /// `id`, `scope` and `deployment_id` of these are set by the store.
    pub tasks: Vec<NewTask>,
    pub sandboxes: Vec<Sandbox>,
    pub streams: Vec<Stream>,
    pub promote: bool,
    pub idempotency: Option<Idempotency<Created>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    pub task_id: ResourceName,
    pub sandbox: String,
    pub module: String,
    pub export: String,
    pub max_duration: Duration,
    pub ttl: Option<Duration>,
    pub queue: Option<TaskQueue>,
    pub retry: Retry,
    pub secrets: Vec<String>,
    pub payload_schema: Option<Value>,
    pub definition: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Created {
    pub deployment: Deployment,
}
