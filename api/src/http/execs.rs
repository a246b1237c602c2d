//! Execs: commands run in a workspace's machine, as durable handles.

use std::collections::BTreeMap;

use helmr_domain::{ExecId, WorkspaceId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::runs::Encoding;
use super::value::{Span, Time};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Exec {
    #[schema(value_type = String, example = "exec_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: ExecId,
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    pub command: Vec<String>,
    /// Null: where the workspace is mounted.
    pub cwd: Option<String>,
    /// Null: that of the image.
    pub user: Option<String>,
    /// Names of the variables it was given. Their values are never told.
    pub env: Vec<String>,
    pub detached: bool,
    #[schema(value_type = Option<String>, example = "10m")]
    pub timeout: Option<Span>,
    /// It was told to end because its timeout had passed.
    pub timed_out: bool,
    pub state: ExecState,
    pub exit_code: Option<i32>,
    /// Of the signal that ended it.
    pub signal: Option<i32>,
    /// Why it could not be started.
    pub error: Option<String>,
    pub stdout: ExecOutput,
    pub stderr: ExecOutput,
    pub stdin: ExecInput,
    pub created_at: Time,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// It waits for a machine.
    Queued,
    Starting,
    Running,
    /// With `exit_code`.
    Exited,
    /// With `signal`.
    Killed,
    /// Its machine is gone, and with it what became of it.
    Lost,
    /// It could not be started: see `error`.
    Failed,
}

impl ExecState {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Exited => "exited",
            Self::Killed => "killed",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Starting | Self::Running => false,
            Self::Exited | Self::Killed | Self::Lost | Self::Failed => true,
        }
    }
}

/// What is kept of an output stream: the newest 64 MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecOutput {
    /// Offset of the first byte that is kept.
    pub start: u64,
    /// Bytes printed so far.
    pub end: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExecInput {
    /// Bytes written so far: where the next write begins.
    pub end: u64,
    /// Of them, how many the process has taken.
    pub taken: u64,
    pub closed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExecAnswer {
    pub exec: Exec,
}

/// `POST /workspaces/{id}/execs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateExec {
    /// The program and its arguments; no shell reads them.
    pub command: Vec<String>,
    /// Relative to where the workspace is mounted, or absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// A name in the image's passwd, or `uid:gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// After it the process gets SIGTERM, and 10 s later SIGKILL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "10m")]
    pub timeout: Option<Span>,
    /// Nobody is expected to attend to it.
    #[serde(default)]
    pub detached: bool,
    /// Whether input will be written. Otherwise its input is empty.
    #[serde(default)]
    pub stdin: bool,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListExecs {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Which part of an exec's output.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OutputQuery {
    /// Offset of the first byte wanted.
    pub cursor: Option<String>,
    /// Pieces of at most 64 KiB.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
}

/// Bytes that an exec printed.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OutputItem {
    /// Of the first byte.
    pub offset: u64,
    /// Behind the last byte.
    pub cursor: String,
    pub data: String,
    pub encoding: Encoding,
}

/// `POST /execs/{id}/stdin`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteStdin {
    /// Of the first byte: `stdin.end` of the exec. What was written before may be written again.
    pub offset: u64,
    /// At most 1 MiB of bytes.
    #[serde(default)]
    pub data: String,
    #[serde(default = "utf8")]
    pub encoding: Encoding,
    /// Nothing comes behind it.
    #[serde(default)]
    pub close: bool,
}

const fn utf8() -> Encoding {
    Encoding::Utf8
}

/// `POST /execs/{id}/signal`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignalExec {
    /// A name like `SIGTERM` or `TERM`, or a number.
    #[schema(value_type = String, example = "SIGTERM")]
    pub signal: Signal,
}

/// A signal by name or number, as Linux counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(pub i32);

/// Names of the signals from 1 on, on x86 and ARM (signal(7)).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

impl Signal {
    /// Reads a name or a number.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<i32>() {
            return (1..=64).contains(&number).then_some(Self(number));
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        let index = SIGNALS.iter().position(|known| *known == name)?;
        i32::try_from(index + 1).ok().map(Self)
    }

    /// `SIGTERM`, or the number if it has no name.
    #[must_use]
    pub fn name(self) -> String {
        usize::try_from(self.0 - 1)
            .ok()
            .and_then(|index| SIGNALS.get(index))
            .map_or_else(|| self.0.to_string(), |name| format!("SIG{name}"))
    }
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&self.name())
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::read(&text).ok_or_else(|| {
            serde::de::Error::custom("not a signal: a name like SIGTERM, or 1 to 64")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (text, number) in [
            ("SIGTERM", 15),
            ("term", 15),
            ("9", 9),
            ("SIGSYS", 31),
            ("64", 64),
        ] {
            assert_eq!(Signal::read(text), Some(Signal(number)), "{text}");
        }
        for text in ["", "0", "65", "-1", "SIGNONE", "SIG"] {
            assert_eq!(Signal::read(text), None, "{text}");
        }
        assert_eq!(
            (Signal(2).name(), Signal(40).name()),
            ("SIGINT".to_owned(), "40".to_owned())
        );
    }
}
