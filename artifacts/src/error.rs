//! What can go wrong with artifacts, told apart by what a caller does next.

use std::io;
use std::path::PathBuf;

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refused.
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The object store refused or could not be reached: the same call may work later.
    #[error("{operation} object {name}")]
    Store {
        operation: &'static str,
        name: String,
        #[source]
        source: object_store::Error,
    },
    /// The source of a blob or the sink of its bytes failed; nothing is wrong with what is stored.
    #[error("{operation}")]
    Stream {
        operation: &'static str,
        #[source]
        source: io::Error,
    },
    /// No such object.
    #[error("{what} {name} does not exist")]
    NotFound { what: &'static str, name: String },
    /// What is stored is not what was written: torn, edited, or sealed with another key.
    #[error("{what} {name} is corrupt: {reason}")]
    Corrupt {
        what: &'static str,
        name: String,
        reason: &'static str,
    },
    /// The root key file is missing parts, readable by others, or not ours.
    #[error("root key file {path}: {reason}")]
    KeyFile { path: PathBuf, reason: &'static str },
    /// A wrapped key or sealed value was made with another key, for another purpose, or was changed.
    #[error("{what} does not open with this key")]
    WrongKey { what: &'static str },
    /// A file changed its kind faster than it could be read.
    #[error("read {path}: it keeps changing its kind")]
    Unstable { path: PathBuf },
    /// A file is made of more pieces than an entry of a manifest holds: hundreds of gigabytes.
    #[error("capture {path}: the file is too large")]
    FileTooLarge { path: PathBuf },
    /// A tree is only materialized into an empty directory.
    #[error("materialize into {path}: the directory is not empty")]
    NotEmpty { path: PathBuf },
    /// Something in an archive that cannot be part of a tree.
    #[error("{path}: {reason}")]
    Refused { path: PathBuf, reason: &'static str },
    /// More than whoever asked allows.
    #[error("it is over the limit of {limit} {unit}")]
    OverLimit { limit: u64, unit: &'static str },
    /// A text is not an id of this crate.
    #[error("{text:?} is not {what}")]
    NotAnId { what: &'static str, text: String },
    /// The operating system gave no randomness.
    #[error("the operating system gave no randomness")]
    Randomness,
    /// The pool that does the work is shutting down, the work panicked, or nobody waits for it any more.
    #[error("artifact work was abandoned")]
    Abandoned,
}

impl Error {
    pub(crate) fn io(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    pub(crate) fn os(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rustix::io::Errno) -> Self {
        let path = path.into();
        move |errno| Self::Io {
            operation,
            path,
            source: errno.into(),
        }
    }

    /// Whether the disk that was written to is full or over its quota.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Io { source, .. } | Self::Stream { source, .. } => disk_full(source),
            Self::Store { source, .. } => {
                let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source);
                while let Some(error) = cause {
                    if error.downcast_ref::<io::Error>().is_some_and(disk_full) {
                        return true;
                    }
                    cause = error.source();
                }
                false
            }
            _ => false,
        }
    }
}

fn disk_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
