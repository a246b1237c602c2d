//! The memory of a machine: its processes, each with a small program. A checkpoint is a copy of it.

pub(crate) mod exec;
mod process;

use std::collections::BTreeMap;

use helmr_domain::wait::Outcome;
use helmr_domain::{ProcessId, RunId, TokenId};

use crate::event::Printed;

pub(crate) use process::Process;

/// An attempt of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunKey {
    pub(crate) run: RunId,
    pub(crate) attempt: u32,
}

/// How a task waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It goes no further.
    Blocking,
    /// `once`: it runs on until it has the outcome.
    Once,
    /// `on`: it runs on until it waits for it no more.
    On,
}

/// What a task asks for. Its nonce is unique to the line of memory that asked, however often it is repeated.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) no: u64,
    pub(crate) nonce: u64,
    pub(crate) ask: Ask,
}

#[derive(Debug, Clone)]
pub(crate) enum Ask {
    CreateToken { timeout: i64 },
    Append,
    Increment,
    WaitToken { token: TokenId, wait: Wait },
    WaitStream { correlation: Option<u8>, wait: Wait },
    WaitTimer { until: bool, span: i64, wait: Wait },
    Drop { call: u64 },
}

impl Ask {
    const fn is_wait(&self) -> bool {
        match self {
            Self::WaitToken { .. } | Self::WaitStream { .. } | Self::WaitTimer { .. } => true,
            Self::CreateToken { .. } | Self::Append | Self::Increment | Self::Drop { .. } => false,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait {
    pub(crate) timeout: Option<i64>,
    pub(crate) hot: Option<i64>,
    pub(crate) kind: Kind,
}

#[derive(Debug, Clone)]
pub(crate) enum Frame {
    Started,
    Call(Call),
    Printed(Printed),
    Logged,
    Finished { success: bool, untaken: Vec<u64> },
    Exited { killed: bool },
}

/// A frame that the worker has not acknowledged.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) position: u64,
    pub(crate) frame: Frame,
    /// When the worker can have it.
    pub(crate) visible: i64,
}

/// What a line from the worker answers.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Token(TokenId),
    Appended {
        sequence: u64,
        nonce: u64,
    },
    Counted,
    /// Whether no outcome came first.
    Dropped(bool),
    Outcome(Outcome),
    Refused,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Guest {
    pub(crate) processes: BTreeMap<RunKey, Process>,
    pub(crate) execs: BTreeMap<ProcessId, exec::Exec>,
}

/// What a step asks of the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing until a line comes.
    Rest,
    /// Another step after this time.
    After(i64),
}
