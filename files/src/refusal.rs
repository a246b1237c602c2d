//! Why something is not done with a file: a code and words for people.

use helmr_api::error::Code;
use helmr_artifacts::files::Error;
use serde_json::{Value, json};

/// A refusal on its way to a client.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: Code,
    pub message: String,
    pub details: Option<Value>,
    /// For the log only.
    pub cause: Option<String>,
}

impl Refusal {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            cause: None,
        }
    }

    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Something that is not the caller's fault.
    #[must_use]
    pub fn internal(cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(Code::Internal, "the server failed; its log says why")
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (code, details) = match &error {
            Error::InvalidPath { .. } => (Code::InvalidPath, None),
            Error::NotFound { .. } => (Code::FileNotFound, None),
            Error::Exists { .. } => (Code::FileExists, None),
            Error::IsDirectory { .. } | Error::NotDirectory { .. } | Error::NotRegular { .. } => {
                (Code::FileWrongKind, None)
            }
            Error::NotEmpty { .. } => (Code::DirectoryNotEmpty, None),
            Error::Outside { .. } => (Code::FileLinkOutside, None),
            Error::Unstable { .. } => (Code::FileUnstable, None),
            Error::Changed { revision, .. } => {
                (Code::FileChanged, Some(json!({ "revision": revision })))
            }
            Error::Range { size_bytes } => (
                Code::RangeNotSatisfiable,
                Some(json!({ "size_bytes": size_bytes })),
            ),
            Error::DiskFull => (Code::DiskFull, None),
            Error::Pattern { .. } => (Code::PatternInvalid, None),
            Error::Archive { .. } => (Code::ArchiveInvalid, None),
            Error::Stream(_) => (Code::InvalidBody, None),
            Error::Artifacts(_) => return Self::internal(described(&error)),
        };
        Self {
            details,
            ..Self::new(code, error.to_string())
        }
    }
}

fn described(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
