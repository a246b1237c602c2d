//! Why a worker cannot start.

use std::io;
use std::path::PathBuf;

/// A failure that ends the worker.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{operation} {path}")]
    Io {
        operation: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file of the worker's own is not what it wrote.
    #[error("{path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// Another worker uses the directory.
    #[error("{path} is locked: another worker uses this directory")]
    InUse { path: PathBuf },
    /// The worker ended before it was ready.
    #[error("the worker ended")]
    Ended,
    /// The control plane does not want this worker: its credential or enrolment token is not valid.
    #[error("the control plane refused this worker ({code}): {message}")]
    Refused { code: String, message: String },
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
}
