//! Workspaces: durable files, and the lease of the machine in which they live.

mod attach;
mod capture;
mod copy;
mod create;
mod end;
mod files;
mod list;
mod materialize;
mod read;
mod recover;
mod restore;
mod row;
mod tags;
mod update;
mod version;

use helmr_domain::{
    DeploymentId, Duration, Epoch, MaterializationId, Moment, Scope, Timestamp, VersionId,
    WorkerId, WorkspaceId,
};
use serde_json::Value;

use crate::idempotency::Idempotency;

pub(crate) use attach::{attach, check_usable, not_active, touch};
pub use capture::{Awaited, Capture, Found, asked, capture, last_files};
pub(crate) use capture::{
    fulfil as fulfil_captures, pending as pending_captures, record_asked, settle as settle_captures,
};
pub(crate) use copy::{CopiedVersion, CopyOf, copy, find_in, version_in};
pub use create::create;
pub(crate) use create::{New, check_free, insert};
pub use end::{archive, delete, stop, unarchive};
pub use files::{CommitEdit, Files, Place, begin_change, commit_edit, locate};
pub(crate) use materialize::{Asked, kept_until, machine_ended, machine_is_live, wants_machine};
pub use materialize::{materialize, wake_for_change};
pub use read::{get, list, version, versions};
pub(crate) use recover::need_recovery;
pub use recover::recover;
pub use restore::{Import, Restore, Restored, check_stopped, disk_bytes, import, restore};
pub(crate) use row::want_less;
pub use update::update;
pub(crate) use version::record as record_version;

#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub scope: Scope,
    pub external_id: Option<String>,
    pub sandbox: String,
    /// From which its sandbox came when it was made.
    pub deployment_id: Option<DeploymentId>,
    pub fingerprint: String,
    pub mount_path: String,
    pub state: State,
    pub current_version_id: Option<VersionId>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub auto_stop_after: Option<Duration>,
    pub last_activity_at: Timestamp,
    pub size_bytes: u64,
    pub created_at: Timestamp,
    pub epoch: Epoch,
    pub placement_reason: Option<String>,
    /// Since when a machine is asked for, if there is none that is live.
    pub machine_wanted_at: Option<Timestamp>,
    /// The live or parked machine, or the last one if it is over.
    pub machine: Option<Machine>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    Archived,
    /// Its files may be newer than its last version, on a worker that is lost.
    RecoveryRequired,
    Deleted,
}

impl State {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::RecoveryRequired => "recovery_required",
            Self::Deleted => "deleted",
        }
    }

    pub(crate) fn read(text: &str) -> Option<Self> {
        [
            Self::Active,
            Self::Archived,
            Self::RecoveryRequired,
            Self::Deleted,
        ]
        .into_iter()
        .find(|state| state.as_str() == text)
    }
}

/// A materialization, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub id: MaterializationId,
    /// `requested preparing live parking parked resuming stopping stopped lost failed`.
    pub state: String,
    /// What it failed of, last.
    pub failure: Option<String>,
    /// Told to end as soon as its runs have.
    pub ending: bool,
    /// The workspace went on from other files than those on which it works.
    pub superseded: bool,
    pub worker_id: WorkerId,
    pub driver: String,
    pub checkpoint_size_bytes: Option<u64>,
    pub requested_at: Timestamp,
    pub live_at: Option<Timestamp>,
    pub parked_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

/// A version of a workspace's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: VersionId,
    pub workspace_id: WorkspaceId,
    pub parent_id: Option<VersionId>,
    /// `image`, `auto`, `manual`, `fork` or `restore`.
    pub kind: String,
    pub message: Option<String>,
    pub manifest: String,
    pub size_bytes: u64,
    pub changed_bytes: u64,
    pub created_at: Timestamp,
}

/// A workspace to make.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    /// Of the promoted deployment.
    pub sandbox: String,
    pub external_id: Option<String>,
    pub metadata: Value,
    pub tags: Vec<String>,
    /// `None`: as is usual.
    pub auto_stop_after: Option<Duration>,
    pub idempotency: Option<Idempotency<Workspace>>,
}

/// What to change of a workspace.
#[derive(Debug, Clone)]
pub struct Update {
    pub at: Moment,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    /// `None`: as it is. `Some(None)`: without one.
    pub external_id: Option<Option<String>>,
    /// All of it; `None`: as it is.
    pub metadata: Option<Value>,
    /// All of them; `None`: as they are.
    pub tags: Option<Vec<String>>,
    /// `None`: as it is. `Some(None)`: as is usual.
    pub auto_stop_after: Option<Option<Duration>>,
}

/// A workspace whose machine is to end.
#[derive(Debug, Clone)]
pub struct End {
    pub at: Moment,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    /// Cancels what has not ended in it, instead of refusing.
    pub force: bool,
}

/// Which workspaces to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `None`: all but those that are deleted.
    pub state: Option<State>,
    pub sandbox: Option<String>,
    pub external_id: Option<String>,
    pub tag: Option<String>,
}
