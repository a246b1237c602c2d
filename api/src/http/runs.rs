//! Runs: one execution of a session's task, over all its attempts.

use helmr_domain::{DeploymentId, RunId, SessionId, TokenId, WaitId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::value::Time;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Run {
    #[schema(value_type = String, example = "run_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: RunId,
    #[schema(value_type = String)]
    pub session_id: SessionId,
    pub task: String,
    #[schema(value_type = String)]
    pub deployment_id: DeploymentId,
    pub deployment_version: String,
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// Counts the session's runs from 1.
    #[serde(default)]
    pub number: u32,
    pub status: RunStatus,
    /// Why the run exists: `start`, `input`, `retry`.
    pub reason: String,
    /// Absent where the task declares no payload, and in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Secrets that the task declares; only where one run is asked for.
    #[serde(default)]
    pub secret_names: Vec<String>,
    pub max_duration_seconds: u64,
    /// Time spent running, over all attempts; waiting does not count.
    pub active_seconds: f64,
    /// Null until a worker leases the run.
    pub attempt_number: Option<u32>,
    /// How often the run was handed to a worker.
    pub dispatch_attempts: u32,
    pub pending_wait: Option<Wait>,
    /// Absent where the task declares no queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<RunQueue>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: i64,
    /// While it is queued for another attempt: before then it is not started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Time>,
    /// When it expires if it was never started until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Who wants it to end, or has ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    pub placement: Placement,
    /// What the task returned.
    pub output: Option<Value>,
    pub error: Option<RunError>,
    pub exit_code: Option<i32>,
    pub metadata: Value,
    pub provenance: Value,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub finished_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

impl RunStatus {
    /// Whether nothing changes it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running | Self::Waiting => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired => true,
        }
    }
}

/// The queue that a run was put into.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunQueue {
    pub name: String,
    /// Runs of the queue, and of the key in it, that may be running at once; null: any number.
    pub concurrency_limit: Option<u32>,
    pub concurrency_key: Option<String>,
}

/// An order to end a run, from when it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cancellation {
    /// `cancelled`, `session_cancelled` or `session_expired`.
    pub code: String,
    /// What whoever cancelled it said.
    pub reason: Option<String>,
    pub requested_at: Time,
}

/// Where the run is, physically.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Placement {
    /// `queued`, `preparing`, `live`, `parking`, `parked`, `resuming`, `moving` or `released`.
    pub state: String,
    /// Why it is not further, for people.
    pub reason: Option<String>,
}

/// What a run waits for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Wait {
    #[schema(value_type = String)]
    pub id: WaitId,
    pub kind: WaitKind,
    /// `hot`, `parked` or `resuming`.
    pub state: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub token_id: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Time>,
    pub timeout_at: Option<Time>,
    pub created_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitKind {
    Stream,
    Token,
    Timer,
}

/// Why a run failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunError {
    /// `task_error`, `task_exited`, `max_duration`, `out_of_memory`, `disk_full`, `worker_lost`, `payload_invalid`,
    /// `output_invalid`, `secret_missing`, `image_failed` or `sandbox_failed`.
    pub kind: String,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunAnswer {
    pub run: Run,
}

/// Which runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListRuns {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Only those of this session.
    pub session_id: Option<String>,
    /// Only those in this status.
    #[param(value_type = Option<RunStatus>)]
    pub status: Option<RunStatus>,
    /// Only those of this task.
    pub task: Option<String>,
}

/// Cancels a run: its signal aborts at once, its processes are killed after a grace of 10 s.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRun {
    /// For people and for the task, whose signal has it: at most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Starts a finished run's session again, with the same payload.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRun {}

/// A piece of what a run printed or logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LogItem {
    /// Give it as `cursor` for what follows.
    pub cursor: String,
    pub at: Time,
    pub attempt_number: Option<u32>,
    pub stream: LogStream,
    /// Of the first byte in its stream; absent for logger entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// The bytes, as `encoding` says; for logger entries the message.
    pub data: String,
    pub encoding: Encoding,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    Stdout,
    Stderr,
    /// `logger.info` and its like.
    Logger,
}

/// How bytes stand in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    Utf8,
    Base64,
}

/// Which part of a run's log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogQuery {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// After this item.
    pub cursor: Option<String>,
    /// Only this stream.
    #[param(value_type = Option<LogStream>)]
    pub stream: Option<LogStream>,
    /// With `stream=stdout` or `stderr`: what was printed from this byte on. Cursors then are offsets.
    pub offset: Option<u64>,
}
