//! Runs: read, cancelled, started again; their output, log and metadata.

mod entries;
mod lineage;
mod log;
mod metadata;
mod queue;
mod read;
mod restart;
mod row;
mod transition;
mod write;

use helmr_domain::{
    DeploymentId, Moment, ResourceName, RunId, Scope, SessionId, TaskRowId, Timestamp, WaitId,
    WorkspaceId, run,
};
use serde_json::Value;

use crate::idempotency::Idempotency;
use crate::worker::RunFence;

pub use entries::append_entries;
pub(crate) use entries::{count_consumed, count_given_back};
pub(crate) use lineage::is_fork_of;
pub use log::{append_log, log_position, read_log};
pub use metadata::change_metadata;
pub(crate) use queue::{has_room, leasable_in};
pub use read::{events, get, list};
pub use restart::{cancel, start_retry};
pub(crate) use row::{RunRow, active_in, after_all, find};
pub(crate) use transition::{apply, create, fenced};
pub(crate) use write::NewRun;

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
    pub queue: Option<Queue>,
    pub provenance: Value,
    pub created_at: Timestamp,
    /// When task code first began.
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// The queue of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub name: String,
    /// Runs of the queue, and of the key in it, that may be running at once.
    pub concurrency_limit: Option<u32>,
    pub concurrency_key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingWait {
    pub id: WaitId,
    /// `stream`, `token` or `timer`.
    pub kind: String,
    /// `hot`, `parked` or `resuming`.
    pub state: String,
    pub subject: Option<String>,
    pub correlation_id: Option<String>,
    /// Of a timer.
    pub due_at: Option<Timestamp>,
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

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub session: Option<SessionId>,
    pub status: Option<run::Status>,
    pub task_id: Option<String>,
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

/// Which of a process's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    Stdout,
    Stderr,
}

impl LogStream {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    /// Reads what `as_str` wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr]
            .into_iter()
            .find(|stream| stream.as_str() == text)
    }
}

/// A piece of output, sealed by the caller.
#[derive(Debug, Clone)]
pub struct AppendLog {
    pub at: Moment,
    pub fence: RunFence,
    pub stream: LogStream,
    /// In the attempt's output. Must be where the last piece ended: see `log_position`.
    pub offset: u64,
    /// Bytes that are new, in clear.
    pub size_bytes: u64,
    /// What is kept, with what was held back before.
    pub kept: Option<Sealed>,
    /// Held back: the beginning of a character that is still to come.
    pub tail: Option<Sealed>,
}

/// Bytes that the caller sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// In clear.
    pub size_bytes: u64,
    pub sealed: Vec<u8>,
}

/// How far an attempt's output has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPosition {
    pub received_bytes: u64,
    /// What may still be kept, with the tail. None once the stream was cut.
    pub left_bytes: u64,
    pub tail: Option<Sealed>,
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
