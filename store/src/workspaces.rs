//! Workspaces: durable files, and the lease of the machine in which they live.

mod change;
mod read;

use helmr_domain::{
    Duration, Epoch, MaterializationId, Scope, Timestamp, VersionId, WorkerId, WorkspaceId,
};
use serde_json::Value;

pub use change::recover;
pub(crate) use change::{attach, create, need_recovery, record_version};
pub use read::{get, list, versions};

#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub scope: Scope,
    pub external_id: Option<String>,
    pub sandbox: String,
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
    /// The live or parked machine, if there is one.
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
    /// `preparing live parking parked resuming stopping`.
    pub state: String,
    pub worker_id: WorkerId,
    pub driver: String,
    pub checkpoint_size_bytes: Option<u64>,
    pub live_at: Option<Timestamp>,
    pub parked_at: Option<Timestamp>,
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
