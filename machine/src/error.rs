//! What can go wrong with a machine, told apart by what the caller does next.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure of a driver.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The runtime did not answer in time; its client was killed and the machine may be in any state: ask `presence`.
    #[error("{operation} {container}: no answer within {deadline:?}")]
    DeadlinePassed {
        operation: &'static str,
        container: String,
        deadline: Duration,
    },
    /// The runtime refused, in its own words.
    #[error("{operation} {container}: the runtime refused ({status}): {message}")]
    Refused {
        operation: &'static str,
        container: String,
        status: String,
        message: String,
    },
    /// No such machine, or none any more.
    #[error("{operation} {container}: the machine is gone")]
    Gone {
        operation: &'static str,
        container: String,
    },
    /// The host lacks something that a machine needs; words say what to do about it.
    #[error("this host cannot run machines: {reason}")]
    Incapable { reason: String },
    /// The image is torn, missing or of another runtime.
    #[error("checkpoint image {path}: {reason}")]
    Image { path: PathBuf, reason: String },
    /// Processes of a killed machine did not go away.
    #[error("kill {container}: processes remain: {pids:?}")]
    Unkillable { container: String, pids: Vec<i32> },
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("run {program}")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("write the machine's specification")]
    Spec(#[source] serde_json::Error),
}

impl Error {
    /// Makes the error of a failed file operation.
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
}
