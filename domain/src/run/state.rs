//! What is true of a run.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::Retry;
use crate::{Duration, Failure, Timestamp, WaitId, limits};

#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub state: State,
    /// How often a worker was given the run, over all attempts.
    pub dispatch_attempts: u32,
    /// Time spent in status `running` up to the last stop of the clock.
    pub active: Duration,
    pub max_duration: Duration,
    /// From when on a run that was never started is expired.
    pub ttl_at: Option<Timestamp>,
    pub retry: Retry,
    /// Set from the order to stop until the end.
    pub stop: Option<Stop>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Queued {
        since: Timestamp,
        not_before: Timestamp,
        /// The number that the next lease gives it.
        next_attempt: u32,
    },
    Running {
        attempt: u32,
        /// Whether the task's code has begun, as far as was told.
        started: bool,
        clock: Clock,
    },
    /// Only started runs wait.
    Waiting {
        attempt: u32,
        wait: WaitId,
    },
    Succeeded {
        at: Timestamp,
        output: Option<Value>,
    },
    Failed {
        at: Timestamp,
        failure: Failure,
    },
    Cancelled {
        at: Timestamp,
        reason: StopReason,
        /// What whoever cancelled it said.
        text: Option<String>,
        requested_at: Timestamp,
    },
    /// It queued for too long.
    Expired {
        at: Timestamp,
    },
}

/// The duration clock of a running run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Its machine is set aside: the run is moving.
    Stopped,
    Since(Timestamp),
}

/// An order to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    pub reason: StopReason,
    /// What whoever gave it said, for task and people.
    pub text: Option<String>,
    pub requested_at: Timestamp,
    /// Whether the run's machine was live since: its grace is running.
    pub awake: bool,
    /// Awake: when its processes are killed. Otherwise: when it is ended without having woken.
    pub kill_at: Timestamp,
}

impl Stop {
    /// What people and the task read.
    #[must_use]
    pub fn message(&self) -> &str {
        self.text
            .as_deref()
            .unwrap_or_else(|| self.reason.message())
    }

    /// When the run ends whatever the worker says.
    #[must_use]
    pub const fn ends_at(&self) -> Timestamp {
        if self.awake {
            self.kill_at.after(limits::STOP_REPORT_SLACK)
        } else {
            self.kill_at
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopReason {
    Cancelled,
    MaxDuration,
    SessionCancelled,
    SessionExpired,
}

impl StopReason {
    const ALL: [Self; 4] = [
        Self::Cancelled,
        Self::MaxDuration,
        Self::SessionCancelled,
        Self::SessionExpired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::MaxDuration => "max_duration",
            Self::SessionCancelled => "session_cancelled",
            Self::SessionExpired => "session_expired",
        }
    }

    /// What people read.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Cancelled => "the run was cancelled",
            Self::MaxDuration => "the run exceeded its max duration",
            Self::SessionCancelled => "the run's session was cancelled",
            Self::SessionExpired => "the run's session expired",
        }
    }
}

impl FromStr for StopReason {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.chars().take(64).collect()))
    }
}

/// The name of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    Queued,
    Running,
    Waiting,
    Succeeded,
    Failed,
    Cancelled,
    Expired,
}

/// A text names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status")]
pub struct UnknownStatus(pub String);

impl Status {
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Waiting,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Expired => true,
            Self::Queued | Self::Running | Self::Waiting => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus(text.chars().take(64).collect()))
    }
}

impl Run {
    /// A run that has just been created.
    #[must_use]
    pub fn queued(now: Timestamp, max_duration: Duration, ttl: Option<Duration>) -> Self {
        Self {
            state: State::Queued {
                since: now,
                // At once, also if the clock is set back meanwhile.
                not_before: Timestamp::from_micros(0),
                next_attempt: 1,
            },
            dispatch_attempts: 0,
            active: Duration::ZERO,
            max_duration,
            ttl_at: ttl.map(|ttl| now.after(ttl)),
            retry: Retry::default(),
            stop: None,
        }
    }

    #[must_use]
    pub const fn status(&self) -> Status {
        match self.state {
            State::Queued { .. } => Status::Queued,
            State::Running { .. } => Status::Running,
            State::Waiting { .. } => Status::Waiting,
            State::Succeeded { .. } => Status::Succeeded,
            State::Failed { .. } => Status::Failed,
            State::Cancelled { .. } => Status::Cancelled,
            State::Expired { .. } => Status::Expired,
        }
    }

    /// The attempt that a worker has, if one has it.
    #[must_use]
    pub const fn attempt(&self) -> Option<u32> {
        match self.state {
            State::Running { attempt, .. } | State::Waiting { attempt, .. } => Some(attempt),
            State::Queued { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Expired { .. } => None,
        }
    }

    /// Time spent in status `running` up to `now`.
    #[must_use]
    pub const fn active_at(&self, now: Timestamp) -> Duration {
        match self.state {
            State::Running {
                clock: Clock::Since(since),
                ..
            } => self.active.saturating_add(now.since(since)),
            State::Running {
                clock: Clock::Stopped,
                ..
            }
            | State::Queued { .. }
            | State::Waiting { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Expired { .. } => self.active,
        }
    }

    /// When the run has used up its duration, if its clock is running.
    #[must_use]
    pub const fn duration_ends_at(&self) -> Option<Timestamp> {
        match self.state {
            State::Running {
                clock: Clock::Since(since),
                ..
            } => Some(since.after(self.max_duration.saturating_sub(self.active))),
            State::Running {
                clock: Clock::Stopped,
                ..
            }
            | State::Queued { .. }
            | State::Waiting { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. }
            | State::Expired { .. } => None,
        }
    }
}
