//! Runs: read, cancelled, started again; their output, log and metadata.

use helmr_domain::{
    DeploymentId, Moment, ResourceName, RunId, Scope, SessionId, TaskRowId, Timestamp, WaitId,
    WorkspaceId, run,
};
use serde_json::Value;

use crate::events::Event;
use crate::idempotency::{Idempotency, Kept, Origin};
use crate::worker::RunFence;
use crate::{Page, Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub scope: Scope,
    pub session_id: SessionId,
    pub workspace_id: WorkspaceId,
    pub deployment_id: DeploymentId,
    pub deployment_version: String,
    pub task_row_id: TaskRowId,
    pub task_id: ResourceName,
    /// Counts the session's runs from 1.
    pub number: u32,
    /// `start`, `input` or `retry`.
    pub reason: String,
    pub state: run::Run,
    /// Of the attempt a worker has, or the last one had. `None` before the first lease.
    pub attempt_number: Option<u32>,
    pub exit_code: Option<i32>,
    pub metadata: Value,
    pub pending_wait: Option<PendingWait>,
    pub placement: Option<Placement>,
    pub priority: i64,
    pub queue: Option<String>,
    pub provenance: Value,
    pub created_at: Timestamp,
    /// When task code first began.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWait {
    pub id: WaitId,
    /// `stream`, `token` or `timer`.
    pub kind: String,
    /// `hot`, `parked` or `resuming`.
    pub state: String,
    pub subject: Option<String>,
    pub timeout_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Where an unfinished run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// `queued preparing live parking parked resuming moving`.
    pub state: &'static str,
    /// Why it goes no further.
    pub reason: Option<String>,
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: RunId) -> Result<Option<Run>> {
    todo!()
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub session: Option<SessionId>,
    pub status: Option<run::Status>,
    pub task_id: Option<String>,
}

/// Lists runs, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    filter: Filter,
    before: Option<RunId>,
    limit: u32,
) -> Result<Page<Run, RunId>> {
    todo!()
}

/// Tells a run to stop: a queued one ends at once, a running one has a grace, a parked one is woken for it. Cancelling it
/// again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused(RunFinished)` if it ended otherwise.
pub async fn cancel(store: &Store, scope: Scope, id: RunId, at: Moment) -> Result<Run> {
    todo!()
}

/// A finished run to start again.
#[derive(Clone)]
pub struct Retry {
    pub at: Moment,
    pub scope: Scope,
    pub run: RunId,
    pub provenance: Value,
    pub idempotency: Option<Idempotency<Run>>,
}

/// Starts a new run of a finished run's session.
///
/// # Errors
/// `NotFound`; `Refused`: `RunNotFinished`, `SessionNotOpen`, `SessionRunActive`.
pub async fn start_retry(store: &Store, input: Retry) -> Result<Kept<Run>> {
    todo!()
}

/// A run's events after a sequence, ascending.
///
/// # Errors
/// If the database fails.
pub async fn events(
    store: &Store,
    scope: Scope,
    id: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>> {
    todo!()
}

/// Log entries of a task.
#[derive(Debug, Clone)]
pub struct AppendEntries {
    pub at: Moment,
    pub fence: RunFence,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Counts the entries of the attempt from 1: those that were kept before are left out.
    pub index: u64,
    pub level: String,
    pub message: String,
    pub fields: Option<Value>,
    pub logged_at: Timestamp,
}

/// Keeps log entries as events of the run.
///
/// # Errors
/// `Stale`.
pub async fn append_entries(store: &Store, input: AppendEntries) -> Result<()> {
    todo!()
}

/// A change of a run's metadata.
#[derive(Debug, Clone, PartialEq)]
pub enum MetadataOp {
    Set {
        key: String,
        value: Value,
    },
    /// RFC 7396.
    Patch(Value),
    Increment {
        key: String,
        by: f64,
    },
}

#[derive(Clone)]
pub struct ChangeMetadata {
    pub at: Moment,
    pub fence: RunFence,
    pub call_no: u64,
    pub op: MetadataOp,
}

/// Changes a run's metadata and answers the whole of it, once for each call.
///
/// # Errors
/// `Stale`; `Refused`: `MetadataTooLarge`, `MetadataNotNumber`.
pub async fn change_metadata(store: &Store, input: ChangeMetadata) -> Result<Value> {
    todo!()
}

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

/// A piece of output, sealed by the caller.
#[derive(Debug, Clone)]
pub struct AppendLog {
    pub at: Moment,
    pub fence: RunFence,
    pub stream: LogStream,
    /// In the attempt's output. Must be where the last piece ended: see `log_position`.
    pub offset: u64,
    /// In clear.
    pub size_bytes: u64,
    pub sealed: Vec<u8>,
}

/// Keeps a piece of output. One that was received before changes nothing; beyond 64 MiB of a stream the run goes on
/// and what it prints is counted, not kept.
///
/// # Errors
/// `Stale`; `Refused(LogOutOfStep)` with the offset that is expected.
pub async fn append_log(store: &Store, input: AppendLog) -> Result<()> {
    todo!()
}

/// How much of an attempt's output was received.
///
/// # Errors
/// If the database fails.
pub async fn log_position(
    store: &Store,
    id: RunId,
    attempt: u32,
    stream: LogStream,
) -> Result<u64> {
    todo!()
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// In the run's output, over all attempts.
    pub offset: u64,
    pub size_bytes: u64,
    pub attempt: u32,
    pub sealed: Vec<u8>,
    pub created_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Those that end after the offset asked for, ascending.
    pub segments: Vec<Segment>,
    /// What was printed, kept or not.
    pub received_bytes: u64,
    /// From where on nothing was kept.
    pub cut_at: Option<u64>,
}

/// Reads a run's output from an offset on.
///
/// # Errors
/// `NotFound`.
pub async fn read_log(
    store: &Store,
    scope: Scope,
    id: RunId,
    stream: LogStream,
    offset: u64,
    limit: u32,
) -> Result<Log> {
    todo!()
}
