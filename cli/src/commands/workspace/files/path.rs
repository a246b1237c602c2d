//! Paths as the shell gives them: bytes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use helmr_api::client::FileCondition;
use helmr_api::http::files::PathText;

/// A path in the workspace.
pub(super) fn inside(path: &OsStr) -> PathText {
    PathText(path.as_bytes().to_vec())
}

/// A name on this computer.
pub(super) fn outside(path: &PathText) -> OsString {
    OsString::from_vec(path.0.clone())
}

/// What must be so before a file is changed.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub(super) struct Condition {
    /// Only if the file has this revision
    #[arg(long, value_name = "REVISION")]
    if_match: Option<String>,
}

impl Condition {
    pub(super) fn read(self) -> FileCondition {
        self.if_match
            .map_or(FileCondition::None, FileCondition::Revision)
    }
}
