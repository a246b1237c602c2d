//! What changed, told after the commit. A hint says where to look again and may be lost; it is never data.

use helmr_domain::stream::Direction;
use helmr_domain::timer::Clock;
use helmr_domain::{
    DeploymentId, ProcessId, PublicTokenId, RunId, SessionId, StreamName, Timestamp, TokenId,
    WorkspaceId,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Hint {
    /// The assignment of a workspace is another: the outbox has it.
    Assignment(WorkspaceId),
    /// Something new to read among the subject's events.
    Events(Subject),
    /// A new record.
    Records {
        session: SessionId,
        direction: Direction,
        stream: StreamName,
    },
    /// More of a run's output.
    Log(RunId),
    /// An exec or a PTY changed, or there is more of its output.
    Process(ProcessId),
    /// The machine of a workspace changed, or is asked for.
    Workspace(WorkspaceId),
    /// A timer was armed: the earliest one may be an earlier one.
    Timer { clock: Clock, due_at: Timestamp },
    /// A public access token was revoked.
    PublicToken(PublicTokenId),
    /// There may be something to place.
    Queue,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    Run(RunId),
    Session(SessionId),
    Deployment(DeploymentId),
    Workspace(WorkspaceId),
    Token(TokenId),
}

impl Subject {
    pub(crate) fn text(self) -> String {
        match self {
            Self::Run(id) => id.to_string(),
            Self::Session(id) => id.to_string(),
            Self::Deployment(id) => id.to_string(),
            Self::Workspace(id) => id.to_string(),
            Self::Token(id) => id.to_string(),
        }
    }
}
