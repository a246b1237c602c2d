//! Workspaces: durable files, and the lease of the machine in which they live.

use helmr_domain::{
    Duration, Epoch, MaterializationId, Moment, Scope, Timestamp, VersionId, WorkerId, WorkspaceId,
};
use serde_json::Value;

use crate::{Page, Result, Store};

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

/// A materialization, for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Machine {
    pub id: MaterializationId,
    pub state: &'static str,
    pub worker_id: WorkerId,
    pub driver: String,
    pub checkpoint_size_bytes: Option<u64>,
    pub live_at: Option<Timestamp>,
    pub parked_at: Option<Timestamp>,
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Option<Workspace>> {
    todo!()
}

/// Lists workspaces, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    before: Option<WorkspaceId>,
    limit: u32,
) -> Result<Page<Workspace, WorkspaceId>> {
    todo!()
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

/// Lists versions, newest first.
///
/// # Errors
/// If the database fails.
pub async fn versions(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    before: Option<VersionId>,
    limit: u32,
) -> Result<Page<Version, VersionId>> {
    todo!()
}

/// Goes on from the last version of a workspace that was live on a lost worker.
///
/// # Errors
/// `NotFound`.
pub async fn recover(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    at: Moment,
) -> Result<Workspace> {
    todo!()
}
