//! Execs: commands that people and programs run in a workspace's machine; and PTYs, which are execs with a terminal.

mod change;
mod input;
mod output;
mod pty;
mod report;
mod row;

use helmr_domain::exec::State;
use helmr_domain::pty::{Pty, Size};
use helmr_domain::{Duration, Moment, ProcessId, Scope, Timestamp, WorkspaceId};

use crate::idempotency::Idempotency;

pub(crate) use change::{
    active_in, any_awake, expire, has_queued, kill_in, kill_queued_in, lease_queued, lose_in,
};
pub use change::{create, signal};
pub use input::{Input, Place, WriteInput, read_input, write_input};
pub use output::{Output, Piece, read_output};
pub use pty::{close, resize, rests};
pub use report::{AppendOutput, Fenced, append_output, ended, input_taken, place_of, started};
pub use row::{Kind, get, list};

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
    pub id: ProcessId,
    pub scope: Scope,
    pub workspace_id: WorkspaceId,
    /// None at all: a login shell, for a PTY.
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
    /// Its terminal, if it is a PTY.
    pub pty: Option<Pty>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
}

impl Exec {
    /// Whether its machine may park with it.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pty.is_some_and(|pty| pty.idle)
    }

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
    pub id: ProcessId,
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
    /// The size of its terminal, if it is a PTY.
    pub pty: Option<Size>,
    pub idempotency: Option<Idempotency<Exec>>,
}
