//! What can go wrong with a file, told apart by what its user does next.

use std::io;

use rustix::io::Errno;

use super::Path;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the path {reason}")]
    InvalidPath { reason: &'static str },
    #[error("there is no `{path}`")]
    NotFound { path: Path },
    #[error("`{path}` exists")]
    Exists { path: Path },
    #[error("`{path}` is a directory")]
    IsDirectory { path: Path },
    #[error("`{path}` is not a directory")]
    NotDirectory { path: Path },
    /// A FIFO, a socket or a device: they are never opened.
    #[error("`{path}` is not a regular file")]
    NotRegular { path: Path },
    #[error("the directory `{path}` is not empty")]
    NotEmpty { path: Path },
    /// A link on the way leads out of the workspace, or in a circle.
    #[error("`{path}`: a link on the way leads out of the workspace, or in a circle")]
    Outside { path: Path },
    /// Whoever works in the workspace changes it faster than it can be looked at.
    #[error("`{path}` keeps changing its kind")]
    Unstable { path: Path },
    /// Not as the condition says.
    #[error("`{path}` is another than the one the condition names")]
    Changed {
        path: Path,
        /// What it is now; `None` if there is no such file.
        revision: Option<String>,
    },
    #[error("the range begins behind the end of the file, which has {size_bytes} bytes")]
    Range { size_bytes: u64 },
    #[error("the disk is full")]
    DiskFull,
    #[error("the pattern {reason}")]
    Pattern { reason: String },
    /// The archive's own fault.
    #[error("the archive cannot be unpacked: {reason}")]
    Archive { reason: String },
    /// Who gives or takes the bytes failed; nothing is wrong with the files.
    #[error("the bytes ended early")]
    Stream(#[source] io::Error),
    #[error(transparent)]
    Artifacts(crate::Error),
}

impl Error {
    /// Reads what the kernel said of `path`.
    pub(super) fn os(operation: &'static str, path: &Path) -> impl FnOnce(Errno) -> Self + use<> {
        let path = path.clone();
        move |errno| match errno {
            Errno::NOENT => Self::NotFound { path },
            Errno::EXIST => Self::Exists { path },
            Errno::NOTDIR => Self::NotDirectory { path },
            Errno::ISDIR => Self::IsDirectory { path },
            Errno::NOTEMPTY => Self::NotEmpty { path },
            Errno::NOSPC | Errno::DQUOT => Self::DiskFull,
            Errno::NAMETOOLONG => Self::InvalidPath {
                reason: "is too long",
            },
            // What was a directory a moment ago is a link now, or gone with its file system.
            Errno::LOOP | Errno::STALE | Errno::NXIO | Errno::AGAIN => Self::Unstable { path },
            Errno::XDEV => Self::Outside { path },
            errno => Self::Artifacts(crate::Error::Io {
                operation,
                path: crate::tree::beneath::shown(path.as_bytes()),
                source: errno.into(),
            }),
        }
    }

    pub(super) fn io(
        operation: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.clone();
        move |error| match Errno::from_io_error(&error) {
            Some(errno) => Self::os(operation, &path)(errno),
            None => Self::from(crate::Error::Io {
                operation,
                path: crate::tree::beneath::shown(path.as_bytes()),
                source: error,
            }),
        }
    }
}

impl From<crate::Error> for Error {
    fn from(error: crate::Error) -> Self {
        if error.is_disk_full() {
            Self::DiskFull
        } else {
            Self::Artifacts(error)
        }
    }
}
