//! Deadlines as rows. A timer only says when to look again: the deadline in the subject decides.

use std::fmt;
use std::str::FromStr;

use crate::{Moment, Timestamp};

/// What falls due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Of a wait: its timer is due.
    WaitDue,
    /// Of a wait: it has waited long enough.
    WaitTimeout,
    TokenTimeout,
    /// Of a queued run: it has queued long enough.
    RunTtl,
    /// Of a queued run: it may be dispatched again.
    RunNotBefore,
    RunMaxDuration,
    /// Of a run that was told to stop.
    StopGrace,
    SessionExpiry,
    /// Of a machine whose wake failed: it may be tried again.
    MachineNotBefore,
    /// Of an exec: it has run long enough, or has ignored that for long enough.
    ExecTimeout,
}

/// A text names no purpose of a timer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a purpose of a timer")]
pub struct UnknownPurpose(pub String);

impl Purpose {
    pub const ALL: [Self; 10] = [
        Self::WaitDue,
        Self::WaitTimeout,
        Self::TokenTimeout,
        Self::RunTtl,
        Self::RunNotBefore,
        Self::RunMaxDuration,
        Self::StopGrace,
        Self::SessionExpiry,
        Self::MachineNotBefore,
        Self::ExecTimeout,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WaitDue => "wait_due",
            Self::WaitTimeout => "wait_timeout",
            Self::TokenTimeout => "token_timeout",
            Self::RunTtl => "run_ttl",
            Self::RunNotBefore => "run_not_before",
            Self::RunMaxDuration => "run_max_duration",
            Self::StopGrace => "stop_grace",
            Self::SessionExpiry => "session_expiry",
            Self::MachineNotBefore => "machine_not_before",
            Self::ExecTimeout => "exec_timeout",
        }
    }
}

/// By which clock a deadline is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Clock {
    /// A span that has to pass: steps of the wall clock do not move it.
    Steady,
    /// A time of day that has to come.
    Wall,
}

impl Clock {
    #[must_use]
    pub const fn read(self, at: Moment) -> Timestamp {
        match self {
            Self::Steady => at.now,
            Self::Wall => at.wall,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Purpose {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        Self::ALL
            .into_iter()
            .find(|purpose| purpose.as_str() == text)
            .ok_or_else(|| UnknownPurpose(text.chars().take(64).collect()))
    }
}

/// A change to the timers of one subject. There is at most one timer of a purpose for a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Arm { purpose: Purpose, due_at: Timestamp },
    Disarm(Purpose),
}

impl Change {
    #[must_use]
    pub const fn arm(purpose: Purpose, due_at: Timestamp) -> Self {
        Self::Arm { purpose, due_at }
    }
}

/// Whether a deadline has come. The instant itself is late.
#[must_use]
pub fn is_due(due_at: Timestamp, now: Timestamp) -> bool {
    now >= due_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purpose_reads_back_as_it_was_written() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse(), Ok(purpose));
        }
    }

    #[test]
    fn the_instant_of_the_deadline_is_late() {
        let due = Timestamp::from_micros(10);
        assert!(is_due(due, due) && !is_due(due, Timestamp::from_micros(9)));
    }
}
