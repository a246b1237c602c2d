//! The closed list of events, as the contract names them.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

/// A text names no event kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an event kind")]
pub struct UnknownEventKind(pub String);

macro_rules! kinds {
    ($($name:ident = $text:literal;)*) => {
        /// What happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventKind { $($name,)* }

        impl EventKind {
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    RunCreated = "run.created";
    RunQueued = "run.queued";
    RunLeased = "run.leased";
    RunStarted = "run.started";
    RunWaiting = "run.waiting";
    RunParked = "run.parked";
    RunResumed = "run.resumed";
    RunMoving = "run.moving";
    RunSucceeded = "run.succeeded";
    RunFailed = "run.failed";
    RunCancelRequested = "run.cancel_requested";
    RunCancelled = "run.cancelled";
    RunExpired = "run.expired";
    RunRetryScheduled = "run.retry_scheduled";
    RunWorkerLost = "run.worker_lost";
    WaitCreated = "wait.created";
    WaitResolved = "wait.resolved";
    WaitTimedOut = "wait.timed_out";
    WaitCancelled = "wait.cancelled";
    WaitFailed = "wait.failed";
    SessionOpened = "session.opened";
    SessionClosed = "session.closed";
    SessionCancelled = "session.cancelled";
    SessionExpired = "session.expired";
    StreamInput = "stream.input";
    StreamOutput = "stream.output";
    TokenCreated = "token.created";
    TokenCompleted = "token.completed";
    TokenExpired = "token.expired";
    TokenCancelled = "token.cancelled";
    Log = "log";
    MetadataUpdated = "metadata.updated";
    WorkspaceVersion = "workspace.version";
    WorkspaceAttached = "workspace.attached";
    DeploymentQueued = "deployment.queued";
    DeploymentBuilding = "deployment.building";
    DeploymentDeployed = "deployment.deployed";
    DeploymentFailed = "deployment.failed";
    DeploymentPromoted = "deployment.promoted";
    NetworkDenied = "network.denied";
}

impl fmt::Display for EventKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventKind(text.chars().take(64).collect()))
    }
}

/// Something that happened, told in the same transaction as the change.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: EventKind,
    pub attributes: Map<String, Value>,
}

impl Event {
    #[must_use]
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            attributes: Map::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_reads_back_as_it_was_written() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(*kind));
        }
        assert!("run.flew".parse::<EventKind>().is_err());
    }
}
