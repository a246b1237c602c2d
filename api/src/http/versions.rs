//! What is done with the versions of a workspace's files.

use helmr_domain::VersionId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::workspaces::{Version, Workspace};

/// Makes a version of a workspace's files as they are now.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureVersion {
    /// For people: at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Makes a workspace's files those of an earlier version again, as a new version.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreWorkspace {
    #[schema(value_type = String, example = "wsv_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub version_id: VersionId,
    /// For people: at most 2,000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Cancels the runs in it first, instead of refusing.
    #[serde(default)]
    pub force: bool,
}

/// A workspace and the version on which it stands now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RestoredAnswer {
    pub workspace: Workspace,
    pub version: Version,
}

/// What to compare.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffQuery {
    /// A version. The workspace's current one unless told.
    #[param(value_type = Option<String>)]
    pub from: Option<VersionId>,
    /// A version. The files as they are now unless told.
    #[param(value_type = Option<String>)]
    pub to: Option<VersionId>,
    /// Most items in the answer: 1 to 200, 50 unless told.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Where to go on: a `next_cursor`.
    pub cursor: Option<String>,
}

/// What to compare, as text.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffTextQuery {
    /// A version. The workspace's current one unless told.
    #[param(value_type = Option<String>)]
    pub from: Option<VersionId>,
    /// A version. The files as they are now unless told.
    #[param(value_type = Option<String>)]
    pub to: Option<VersionId>,
}

/// A path that differs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FileChange {
    /// From where the workspace is mounted; empty for that itself. What is not UTF-8 in it is replaced by U+FFFD.
    pub path: String,
    /// Base64 of the path's bytes, if they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_base64: Option<String>,
    pub change: ChangeKind,
    /// Of what was modified: in what it differs.
    pub differs: Vec<Difference>,
    /// Null for what was added.
    pub before: Option<FileSide>,
    /// Null for what was removed.
    pub after: Option<FileSide>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    Added,
    Removed,
    Modified,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Difference {
    /// It is another kind of thing.
    Kind,
    /// The bytes of a file, or where a symlink leads.
    Content,
    Mode,
    Owner,
    /// Extended attributes.
    Attributes,
}

/// What is at a path in one of two versions.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FileSide {
    pub kind: FileKind,
    /// Permission, set-id and sticky bits, in octal.
    #[schema(example = "0644")]
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    /// 0 for what is no file.
    pub size_bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Directory,
    File,
    Symlink,
    Fifo,
}

/// How an archive becomes a version.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImportQuery {
    /// For people: at most 2,000 characters.
    pub message: Option<String>,
}

/// A version that was made of an archive.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ImportedAnswer {
    pub workspace: Workspace,
    pub version: Version,
    /// Files, directories and links in it.
    pub entries: u64,
    /// Device nodes, which are not kept.
    pub left_out: u64,
}
