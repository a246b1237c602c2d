//! Workspaces: durable files, and the machine in which they are worked on.

use helmr_domain::{
    DeploymentId, MaterializationId, RunId, SessionId, VersionId, WorkerId, WorkspaceId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::value::{Span, Time, changed};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Workspace {
    #[schema(value_type = String, example = "ws_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: WorkspaceId,
    pub external_id: Option<String>,
    /// Null for that of tasks which name none.
    pub sandbox: Option<String>,
    /// From which its sandbox came when it was made.
    #[schema(value_type = Option<String>)]
    pub deployment_id: Option<DeploymentId>,
    pub state: WorkspaceState,
    /// Where its files are in the machine.
    pub mount_path: String,
    /// Null until files were captured: it begins with those of its sandbox's image.
    #[schema(value_type = Option<String>)]
    pub current_version_id: Option<VersionId>,
    /// Of the current version.
    pub size_bytes: u64,
    pub metadata: Value,
    pub tags: Vec<String>,
    /// How long its machine stays when nothing runs in it. Null: 5 minutes.
    #[schema(value_type = Option<String>, example = "10m")]
    pub auto_stop_after: Option<Span>,
    pub last_activity_at: Time,
    pub created_at: Time,
    /// Its machine, or the last one it had.
    pub materialization: Option<Materialization>,
    /// Why what is wanted in it has no machine yet.
    pub placement_reason: Option<String>,
    /// Since when its machine is asked for by itself. Null when nobody asked, or when it is live.
    pub machine_requested_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkspaceState {
    Active,
    Archived,
    /// It was live on a worker that is lost: its files may be newer there than its last version.
    RecoveryRequired,
    Deleted,
}

impl WorkspaceState {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Archived => "archived",
            Self::RecoveryRequired => "recovery_required",
            Self::Deleted => "deleted",
        }
    }
}

/// A machine of a workspace: live, parked or over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Materialization {
    #[schema(value_type = String)]
    pub id: MaterializationId,
    pub state: MaterializationState,
    /// What it failed of, or what its last wake failed of.
    pub reason: Option<String>,
    /// It was told to stop: it ends as soon as its runs have, and takes no others.
    pub stop_requested: bool,
    #[schema(value_type = String)]
    pub worker_id: WorkerId,
    pub driver: String,
    /// Of its memory, while it is parked.
    pub checkpoint_size_bytes: Option<u64>,
    pub requested_at: Time,
    /// When it was last started or woken.
    pub started_at: Option<Time>,
    /// When it was last parked.
    pub parked_at: Option<Time>,
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaterializationState {
    Requested,
    Preparing,
    Live,
    Parking,
    Parked,
    Resuming,
    Stopping,
    Stopped,
    Lost,
    Failed,
}

/// The files of a workspace as they were once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Version {
    #[schema(value_type = String, example = "wsv_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: VersionId,
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    /// The version on which it was made. Null for the first one.
    #[schema(value_type = Option<String>)]
    pub parent_id: Option<VersionId>,
    pub kind: VersionKind,
    pub message: Option<String>,
    /// Of all its files.
    pub size_bytes: u64,
    /// Of what is not in its parent.
    pub changed_bytes: u64,
    /// Whether it is the workspace's current one.
    pub current: bool,
    pub created_at: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum VersionKind {
    Image,
    /// Captured when its machine stopped or parked, or a run ended.
    Auto,
    Manual,
    Fork,
    Restore,
}

/// Makes a workspace from a sandbox of the promoted deployment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorkspace {
    /// Absent: that of tasks which name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// No two workspaces of an environment have the same one, unless they are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// An object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// At most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How long its machine stays when nothing runs in it: at most 30 days, 5 minutes unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_stop_after: Option<Span>,
}

/// Changes what people note about a workspace, and how long its machine stays. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateWorkspace {
    /// Null takes it away.
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub external_id: Option<Option<String>>,
    /// All of its metadata: an object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// All of its tags: at most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Null: 5 minutes, as is usual.
    #[serde(default, with = "changed", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Span>)]
    pub auto_stop_after: Option<Option<Span>>,
}

/// Stops a workspace's machine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StopWorkspace {
    /// Cancels the runs in it first, instead of refusing.
    #[serde(default)]
    pub force: bool,
}

/// Archives a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveWorkspace {
    /// Cancels the runs in it first, instead of refusing.
    #[serde(default)]
    pub force: bool,
}

/// Takes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnarchiveWorkspace {}

/// Takes nothing.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MaterializeWorkspace {}

/// Waits until a workspace's machine is live.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectWorkspace {
    /// For how long at most: 60 s unless told, at most 10 m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// How a workspace with a live machine is reached. All of it goes through the server, with the caller's own key.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Connection {
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    #[schema(value_type = String)]
    pub materialization_id: MaterializationId,
    /// Where its files are in the machine.
    pub mount_path: String,
    /// How long the machine stays from now on when nothing runs in it.
    #[schema(value_type = String, example = "5m")]
    pub stays_for: Span,
    pub urls: ConnectionUrls,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionUrls {
    /// The workspace itself.
    pub workspace: String,
    /// `POST` runs a command.
    pub execs: String,
    /// `POST` opens a terminal.
    pub ptys: String,
    pub files: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ConnectionAnswer {
    pub connection: Connection,
    pub workspace: Workspace,
}

/// Makes a workspace that begins as a copy of another one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkWorkspace {
    /// The version of its files to begin with; the current one unless told. Not with `live`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub version_id: Option<VersionId>,
    /// Copies the machine as it stands, files and memory, with every process in it and its sessions. Secrets in its memory
    /// are copied with it.
    #[serde(default)]
    pub live: bool,
    /// No two workspaces of an environment have the same one, unless they are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// An object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// At most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// What a fork was made of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Fork {
    pub live: bool,
    #[schema(value_type = String)]
    pub from_workspace_id: WorkspaceId,
    /// The version of the original with whose files it begins. Null if that had none: then with those of the image.
    #[schema(value_type = Option<String>)]
    pub from_version_id: Option<VersionId>,
    /// Whether memory was copied, and with it whatever secrets processes hold in it.
    pub memory_copied: bool,
    /// Of those, the ones that the tasks of its sessions declare.
    pub secrets_copied: Vec<String>,
    /// The copies of the original's open sessions.
    pub sessions: Vec<ForkedSession>,
}

/// A session of a live fork, and the one it is a copy of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForkedSession {
    #[schema(value_type = String)]
    pub from_session_id: SessionId,
    #[schema(value_type = String)]
    pub session_id: SessionId,
    /// Null if no run of it was active.
    #[schema(value_type = Option<String>)]
    pub from_run_id: Option<RunId>,
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForkAnswer {
    pub workspace: Workspace,
    pub fork: Fork,
}

/// How to delete a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteWorkspace {
    /// Cancels the runs in it first, instead of refusing.
    pub force: Option<bool>,
}

/// Goes on with a workspace whose files may be newer on a lost worker. Whoever rather waits for that worker sends nothing.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecoverWorkspace {
    pub from: RecoverFrom,
}

/// The files with which a workspace goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoverFrom {
    /// Those of its last version. What was written after it is not in them.
    LastVersion,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WorkspaceAnswer {
    pub workspace: Workspace,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct VersionAnswer {
    pub version: Version,
}

/// Which workspaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListWorkspaces {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Only those in this state. All but deleted ones unless told.
    #[param(value_type = Option<WorkspaceState>)]
    pub state: Option<WorkspaceState>,
    /// Only those of this sandbox.
    pub sandbox: Option<String>,
    /// Only those with this external id.
    pub external_id: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
}
