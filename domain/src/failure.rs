//! Why a run failed.

use std::fmt;
use std::str::FromStr;

/// The closed list of reasons for which a run fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    TaskError,
    TaskExited,
    MaxDuration,
    OutOfMemory,
    DiskFull,
    WorkerLost,
    PayloadInvalid,
    OutputInvalid,
    SecretMissing,
    ImageFailed,
    SandboxFailed,
}

/// A text names no failure kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a failure kind")]
pub struct UnknownFailureKind(pub String);

impl FailureKind {
    pub const ALL: [Self; 11] = [
        Self::TaskError,
        Self::TaskExited,
        Self::MaxDuration,
        Self::OutOfMemory,
        Self::DiskFull,
        Self::WorkerLost,
        Self::PayloadInvalid,
        Self::OutputInvalid,
        Self::SecretMissing,
        Self::ImageFailed,
        Self::SandboxFailed,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskError => "task_error",
            Self::TaskExited => "task_exited",
            Self::MaxDuration => "max_duration",
            Self::OutOfMemory => "out_of_memory",
            Self::DiskFull => "disk_full",
            Self::WorkerLost => "worker_lost",
            Self::PayloadInvalid => "payload_invalid",
            Self::OutputInvalid => "output_invalid",
            Self::SecretMissing => "secret_missing",
            Self::ImageFailed => "image_failed",
            Self::SandboxFailed => "sandbox_failed",
        }
    }

    /// Whether another attempt could end otherwise. A payload stays invalid, and time spent stays spent.
    #[must_use]
    pub const fn may_be_retried(self) -> bool {
        match self {
            Self::TaskError
            | Self::TaskExited
            | Self::OutOfMemory
            | Self::DiskFull
            | Self::WorkerLost
            | Self::ImageFailed
            | Self::SandboxFailed => true,
            Self::MaxDuration
            | Self::PayloadInvalid
            | Self::OutputInvalid
            | Self::SecretMissing => false,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for FailureKind {
    type Err = UnknownFailureKind;

    fn from_str(text: &str) -> Result<Self, UnknownFailureKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownFailureKind(text.chars().take(64).collect()))
    }
}

impl serde::Serialize for FailureKind {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for FailureKind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The `error` of a failed run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Failure {
    pub kind: FailureKind,
    /// The class of what the task threw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            name: None,
            message: message.into(),
            stack: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_back_as_it_was_written() {
        for kind in FailureKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        assert!("nonsense".parse::<FailureKind>().is_err());
    }
}
