//! Why an image cannot be imported or read.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A failure of an import or an extraction.
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
    /// The source is none of the forms that can be read.
    #[error("{path} is not an image: {reason}")]
    NotAnImage { path: PathBuf, reason: &'static str },
    /// A part of the source is torn or garbled.
    #[error("{what} cannot be read")]
    Unreadable {
        what: String,
        #[source]
        source: io::Error,
    },
    /// A part of the source is not what the format asks for.
    #[error("{what}: {reason}")]
    Malformed { what: String, reason: String },
    /// A part of the source is missing.
    #[error("{what} is missing from the image")]
    Missing { what: String },
    /// A blob is not what its digest says.
    #[error("{what} has digest {found}, expected {expected}")]
    Digest {
        what: String,
        expected: String,
        found: String,
    },
    /// The image is not for this host.
    #[error("the image has no manifest for {wanted}; it has {found}")]
    Platform { wanted: String, found: String },
    /// The source holds several images.
    #[error("the source holds several images ({images}): give one")]
    Ambiguous { images: String },
    /// An archive holds something that no honest one does.
    #[error("archive entry {name:?} is refused: {reason}")]
    Refused { name: String, reason: &'static str },
    /// The source is over a limit.
    #[error("the image is over the limit of {limit} {unit}")]
    TooLarge { limit: u64, unit: &'static str },
    /// Owners cannot be given by this user.
    #[error("{operation} {name}: importing needs root or a user namespace with its ids mapped")]
    Privilege {
        operation: &'static str,
        name: String,
    },
    /// A program is not installed.
    #[error("{tool} is not installed: {install}")]
    MissingTool {
        tool: &'static str,
        install: &'static str,
    },
    /// A program failed, in its own words.
    #[error("{tool} failed ({status}): {output}")]
    Tool {
        tool: &'static str,
        status: String,
        output: String,
    },
    /// A program did not end in time and was killed.
    #[error("{tool} did not end within {deadline:?}")]
    DeadlinePassed {
        tool: &'static str,
        deadline: Duration,
    },
    /// A root image is torn or of a form that we do not make.
    #[error("root image {path}: {reason}")]
    RootImage { path: PathBuf, reason: &'static str },
}

impl Error {
    /// Tells failures apart in the worker's answer and in logs. Clients get all of them as `image_invalid`, with the message.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "image_io",
            Self::NotAnImage { .. }
            | Self::Unreadable { .. }
            | Self::Malformed { .. }
            | Self::Missing { .. } => "image_invalid",
            Self::Digest { .. } => "image_digest_mismatch",
            Self::Platform { .. } => "image_platform_unsupported",
            Self::Ambiguous { .. } => "image_ambiguous",
            Self::Refused { .. } => "image_refused",
            Self::TooLarge { .. } => "image_too_large",
            Self::Privilege { .. } => "image_needs_root",
            Self::MissingTool { .. } => "erofs_utils_missing",
            Self::Tool { .. } | Self::DeadlinePassed { .. } => "image_build_failed",
            Self::RootImage { .. } => "root_image_invalid",
        }
    }

    pub(super) fn io(
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

    pub(super) fn os(
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

    pub(super) fn malformed(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Malformed {
            what: what.into(),
            reason: reason.into(),
        }
    }

    /// For failures of a stream that comes from the image: a limit that was met on the way stays one.
    pub(super) fn reading(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| match source.downcast::<OverLimit>() {
            Ok(OverLimit { limit, unit }) => Self::TooLarge { limit, unit },
            Err(source) => Self::Unreadable { what, source },
        }
    }

    pub(super) fn refused(name: &[u8], reason: &'static str) -> Self {
        Self::Refused {
            name: String::from_utf8_lossy(name).into_owned(),
            reason,
        }
    }
}

/// A limit met inside a reader, which can only give I/O errors.
#[derive(Debug, thiserror::Error)]
#[error("over the limit of {limit} {unit}")]
pub(super) struct OverLimit {
    pub(super) limit: u64,
    pub(super) unit: &'static str,
}

impl OverLimit {
    pub(super) fn bytes(limit: u64) -> io::Error {
        io::Error::other(Self {
            limit,
            unit: "bytes",
        })
    }
}
