//! The files of a workspace.

mod mode;
mod path;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use helmr_domain::VersionId;

use super::value::Time;

pub use mode::{Mode, NotAMode};
pub use path::PathText;

/// One file, directory or link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct File {
    /// From the root of the workspace, which itself is empty.
    pub path: PathText,
    pub kind: FileKind,
    /// Of regular files; 0 of directories.
    pub size_bytes: u64,
    pub mode: Mode,
    pub uid: u32,
    pub gid: u32,
    pub modified_at: Time,
    /// What a link says; null for everything else.
    pub target: Option<PathText>,
    /// Another after each write. Send it as `If-Match` to write only over what was seen.
    #[schema(example = "8c1f0a52b7e94d36l5a0c9d7e1f2b3a48")]
    pub revision: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    File,
    Directory,
    /// A symbolic link.
    Symlink,
    Fifo,
    /// A socket or a device.
    Other,
}

impl FileKind {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Other => "other",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FileAnswer {
    pub file: File,
}

/// `GET /workspaces/{id}/files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListFiles {
    /// The directory; the workspace's root if there is none.
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
    /// Of this version instead of now.
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// `GET /workspaces/{id}/files/stat`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatFile {
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
    /// What a link leads to instead of the link.
    pub follow: Option<bool>,
}

/// `GET /workspaces/{id}/files/content`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReadFile {
    #[param(value_type = String)]
    pub path: PathText,
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
}

/// `PUT /workspaces/{id}/files/content`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WriteFile {
    #[param(value_type = String)]
    pub path: PathText,
    /// In octal. Otherwise that of the file it replaces, or 0644.
    #[param(value_type = Option<String>)]
    pub mode: Option<Mode>,
    /// Makes the directories that are missing on the way.
    pub parents: Option<bool>,
}

/// `POST /workspaces/{id}/files/append`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AppendFile {
    #[param(value_type = String)]
    pub path: PathText,
    /// The size that the file must have before.
    pub offset: Option<u64>,
    pub parents: Option<bool>,
}

/// `POST /workspaces/{id}/files/mkdir`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeDirectory {
    pub path: PathText,
    /// In octal; otherwise 0755.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Makes those on the way too, and takes one that exists for made.
    #[serde(default)]
    pub parents: bool,
}

/// `POST /workspaces/{id}/files/move`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MoveFile {
    pub from: PathText,
    pub to: PathText,
    /// Replaces what is there.
    #[serde(default)]
    pub overwrite: bool,
}

/// `POST /workspaces/{id}/files/chmod`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMode {
    pub path: PathText,
    pub mode: Mode,
}

/// `DELETE /workspaces/{id}/files`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveFile {
    #[param(value_type = String)]
    pub path: PathText,
    /// A directory with everything in it.
    pub recursive: Option<bool>,
}

/// `GET` and `PUT /workspaces/{id}/files/archive`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DownloadFiles {
    /// A directory or a file; the whole workspace if there is none.
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
}

/// `PUT /workspaces/{id}/files/archive`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct UploadFiles {
    /// The directory to unpack into, which is made if it is missing.
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
}

/// What an archive brought.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UploadedFiles {
    /// Files, directories and links.
    pub files: u64,
    pub size_bytes: u64,
    /// Devices, FIFOs and sockets, which an upload does not make.
    pub left_out: u64,
}

/// `GET /workspaces/{id}/files/glob`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct GlobFiles {
    /// `*`, `?`, `[…]`, `{a,b}` within names, `**` for any directories.
    #[param(value_type = String)]
    pub pattern: PathText,
    /// Where the pattern begins; the workspace's root if there is none.
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// `GET /workspaces/{id}/files/search`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchFiles {
    pub query: String,
    /// The query is a regular expression.
    pub regex: Option<bool>,
    pub ignore_case: Option<bool>,
    /// Only in files that match.
    #[param(value_type = Option<String>)]
    pub glob: Option<PathText>,
    #[param(value_type = Option<String>)]
    pub path: Option<PathText>,
    #[param(value_type = Option<String>)]
    pub version: Option<VersionId>,
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// A line in which something was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FileMatch {
    pub path: PathText,
    /// From 1.
    pub line: u64,
    /// Of the first byte found, from 1.
    pub column: u64,
    /// The line, or 512 bytes of it; as a path, where it is not UTF-8.
    pub text: PathText,
}
