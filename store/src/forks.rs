//! Forks: workspaces that begin as copies of others, of a version of their files or of their machine as it stands.
//!
//! A live fork is asked for, made by the worker that has the machine, and committed whole: workspace, version, parked
//! machine and the copies of its sessions in one transaction, while the original stands still. Before that there is
//! nothing of it but the wish.

mod commit;
mod names;
mod request;
mod row;
mod sessions;
mod settle;
mod version;

use helmr_domain::{
    CheckpointId, MaterializationId, Moment, RunId, Scope, SessionId, VersionId, WorkspaceId,
};
use serde_json::Value;

use crate::idempotency::Idempotency;
use crate::worker::{CapturedVersion, MachineFence};
use crate::workspaces::Workspace;

pub use commit::forked;
pub use names::Names;
pub use request::{find_keyed, get, request};
pub(crate) use row::{orders, wants};
pub use sessions::{Copied, copied_sessions};
pub(crate) use settle::fail_all;
pub use settle::{fork_failed, give_up, settle};
pub use version::from_version;

/// A live fork that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Fork {
    /// The copy, which is there once it is done.
    pub workspace_id: WorkspaceId,
    pub scope: Scope,
    pub source: WorkspaceId,
    pub materialization_id: MaterializationId,
    pub checkpoint_id: CheckpointId,
    pub version_id: VersionId,
    pub external_id: Option<String>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub state: State,
    pub request_hash: Option<[u8; 32]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Requested,
    Done,
    /// Nothing of it is there.
    Failed {
        reason: String,
    },
}

/// A live fork to make.
#[derive(Debug, Clone)]
pub struct Request {
    pub at: Moment,
    pub scope: Scope,
    pub source: WorkspaceId,
    pub external_id: Option<String>,
    pub metadata: Value,
    pub tags: Vec<String>,
    /// An idempotency key, and the hash of what it came with.
    pub key: Option<(String, [u8; 32])>,
}

/// What a worker is to copy, and the ids that the copy gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    pub workspace_id: WorkspaceId,
    pub materialization_id: MaterializationId,
    pub checkpoint_id: CheckpointId,
}

/// A copy whose memory and files are durable, of a machine that stands still.
#[derive(Debug, Clone)]
pub struct Forked {
    pub at: Moment,
    pub fence: MachineFence,
    pub workspace_id: WorkspaceId,
    pub materialization_id: MaterializationId,
    pub checkpoint_id: CheckpointId,
    pub checkpoint_size_bytes: u64,
    pub runtime_identity: String,
    /// The files as they are with the memory.
    pub version: CapturedVersion,
    /// Milliseconds by step, for people.
    pub timings: Value,
}

/// A workspace to make from the files of another one.
#[derive(Clone)]
pub struct FromVersion {
    pub at: Moment,
    pub scope: Scope,
    pub source: WorkspaceId,
    /// `None`: the current one.
    pub version: Option<VersionId>,
    pub external_id: Option<String>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub idempotency: Option<Idempotency<Made>>,
}

/// A workspace that was made from a version.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    pub workspace: Workspace,
    /// Of the original; `None` if that had none: the copy begins with what the image holds.
    pub version: Option<VersionId>,
}

/// Which session and run of the copy stand for which of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    pub session: SessionId,
    pub run: Option<RunId>,
}
