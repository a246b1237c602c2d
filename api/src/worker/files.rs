//! Work on the files of a workspace that this worker has: `POST /v1/files/{workspace_id}`.
//!
//! Bodies in both directions are a head and then bytes: the length of the head (32 bits, the highest byte first), the head
//! as JSON, and whatever follows. The head of the request is a [`FilesRequest`]; bytes follow a write. The head of a good
//! answer depends on the task; bytes follow a read. A refusal is an ordinary one.

use helmr_domain::MaterializationId;
use serde::{Deserialize, Serialize};

use crate::http::files::{File, FileMatch, PathText};

/// Longest head: two paths and a pattern, each of which may be four times as long in JSON; a page of files.
pub const HEAD_BYTES: u32 = 64 << 20;

/// Which machine's files, and what is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FilesRequest {
    /// Not done unless the files are this machine's.
    pub materialization_id: MaterializationId,
    pub mount_path: String,
    pub task: Task,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    Look(Look),
    Change(Change),
}

/// What changes nothing. Done for versions too, by the control plane itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Answered by a [`File`].
    Stat { path: PathText, follow: bool },
    /// Answered by a [`FilesPage`] of [`File`].
    List {
        path: PathText,
        after: Option<PathText>,
        limit: u32,
    },
    /// Answered by a [`Reading`] and its bytes.
    Read { path: PathText, span: Span },
    /// Answered by a [`FilesPage`] of [`File`].
    Glob {
        path: PathText,
        pattern: PathText,
        after: Option<PathText>,
        limit: u32,
    },
    /// Answered by a [`Found`].
    Search {
        path: PathText,
        query: String,
        regex: bool,
        ignore_case: bool,
        glob: Option<PathText>,
        after: Option<Place>,
        limit: u32,
    },
    /// Answered by `null` and the bytes of a tar.
    Download { path: PathText },
}

/// What changes files.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Bytes follow. Answered by a [`File`].
    Write {
        path: PathText,
        mode: Option<u32>,
        parents: bool,
        condition: Condition,
    },
    /// Bytes follow. Answered by a [`File`].
    Append {
        path: PathText,
        offset: Option<u64>,
        parents: bool,
        condition: Condition,
    },
    /// The bytes of a tar follow. Answered by [`crate::http::files::UploadedFiles`].
    Upload { path: PathText },
    /// Answered by a [`File`].
    MakeDirectory {
        path: PathText,
        mode: Option<u32>,
        parents: bool,
    },
    /// Answered by a [`File`].
    Move {
        from: PathText,
        to: PathText,
        overwrite: bool,
    },
    /// Answered by `null`.
    Remove {
        path: PathText,
        recursive: bool,
        condition: Condition,
    },
    /// Answered by a [`File`].
    SetMode {
        path: PathText,
        mode: u32,
        condition: Condition,
    },
}

impl Change {
    /// Whether a process that was set aside may have open what this takes the name from.
    #[must_use]
    pub const fn needs_live(&self) -> bool {
        match self {
            Self::Move { .. } | Self::Remove { .. } => true,
            Self::Write { .. }
            | Self::Append { .. }
            | Self::Upload { .. }
            | Self::MakeDirectory { .. }
            | Self::SetMode { .. } => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    #[default]
    None,
    Absent,
    Is(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    #[default]
    All,
    /// Up to `end`, which is not included.
    From {
        start: u64,
        end: Option<u64>,
    },
    Last(u64),
}

/// The head of the bytes of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    pub file: File,
    pub start: u64,
    /// So many bytes follow.
    pub len: u64,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub path: PathText,
    pub line: u64,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    pub items: Vec<FileMatch>,
    /// Behind what the next page begins.
    pub next: Option<Place>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesPage<T> {
    pub items: Vec<T>,
    /// Behind what the next page begins.
    pub next: Option<PathText>,
}
