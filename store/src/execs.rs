//! Execs: commands that people and programs run in a workspace's machine.

mod change;
mod input;
mod output;
mod report;
mod row;

use helmr_domain::exec::State;
use helmr_domain::{Duration, ExecId, Moment, Scope, Timestamp, WorkspaceId};

use crate::idempotency::Idempotency;

pub(crate) use change::{active_in, expire, has_queued, kill_in, lease_queued, lose_in};
pub use change::{create, signal};
pub use input::{Input, WriteInput, read_input, write_input};
pub use output::{Output, Piece, read_output};
pub use report::{AppendOutput, Fenced, append_output, ended, input_taken, place_of, started};
pub use row::{get, list};

/// One of a process's output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        [Self::Stdout, Self::Stderr]
            .into_iter()
            .find(|stream| stream.as_str() == text)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Exec {
    pub id: ExecId,
    pub scope: Scope,
    pub workspace_id: WorkspaceId,
    pub command: Vec<String>,
    /// `None`: where the workspace is mounted.
    pub cwd: Option<String>,
    /// `None`: that of the image.
    pub user: Option<String>,
    pub env_names: Vec<String>,
    pub sealed_env: Option<Vec<u8>>,
    pub detached: bool,
    pub timeout: Option<Duration>,
    /// Whether it was told to end because of that.
    pub timed_out: bool,
    pub state: State,
    /// Those it was sent, in order.
    pub signals: Vec<i32>,
    pub stdout: Window,
    pub stderr: Window,
    pub stdin: Stdin,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Exec {
    #[must_use]
    pub const fn window(&self, stream: Stream) -> Window {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

/// What is kept of an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Window {
    /// Offset of the first byte that is kept.
    pub start: u64,
    /// Bytes printed so far.
    pub end: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stdin {
    /// Bytes given so far.
    pub end: u64,
    /// Of them, how many the process has taken.
    pub taken: u64,
    /// Nothing more is taken.
    pub closed: bool,
}

/// An exec to make.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub id: ExecId,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    pub command: Vec<String>,
    pub cwd: Option<String>,
    pub user: Option<String>,
    pub env_names: Vec<String>,
    pub sealed_env: Option<Vec<u8>>,
    pub detached: bool,
    pub timeout: Option<Duration>,
    /// Its input has ended before it began.
    pub stdin_closed: bool,
    pub idempotency: Option<Idempotency<Exec>>,
}
