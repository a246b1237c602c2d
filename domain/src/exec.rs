//! A command that somebody runs in a workspace's machine, as a durable handle.

use crate::Timestamp;

/// What can be said of an exec, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No machine has it yet.
    Queued,
    /// In a machine's assignment.
    Starting,
    Running {
        since: Timestamp,
    },
    Exited {
        code: i32,
    },
    /// By a signal, its own or somebody else's.
    Killed {
        signal: i32,
    },
    /// Its machine is gone, and with it what became of the process.
    Lost,
    /// It could not be started.
    Failed {
        message: String,
    },
}

impl State {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::Exited { .. } => "exited",
            Self::Killed { .. } => "killed",
            Self::Lost => "lost",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether nothing more happens to it.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Queued | Self::Starting | Self::Running { .. } => false,
            Self::Exited { .. } | Self::Killed { .. } | Self::Lost | Self::Failed { .. } => true,
        }
    }
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exited { code: i32 },
    Killed { signal: i32 },
    NotStarted { message: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A machine takes it.
    Lease,
    /// Its process runs.
    Start,
    End(End),
    /// Its machine is gone.
    Lose,
    /// Somebody sends it a signal.
    Signal {
        signal: i32,
    },
}

/// What a signal does to an exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The process is to be sent it.
    SendSignal { signal: i32 },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// `None`: nothing changes.
    pub next: Option<State>,
    pub effect: Option<Effect>,
}

impl Decision {
    const NOTHING: Self = Self {
        next: None,
        effect: None,
    };

    const fn to(next: State) -> Self {
        Self {
            next: Some(next),
            effect: None,
        }
    }
}

/// Decides. What comes too late or again changes nothing.
#[must_use]
pub fn decide(state: &State, command: Command, now: Timestamp) -> Decision {
    match (state, command) {
        (State::Queued, Command::Lease) => Decision::to(State::Starting),
        (State::Starting, Command::Start) => Decision::to(State::Running { since: now }),
        (State::Starting | State::Running { .. }, Command::End(end)) => Decision::to(match end {
            End::Exited { code } => State::Exited { code },
            End::Killed { signal } => State::Killed { signal },
            End::NotStarted { message } => State::Failed { message },
        }),
        (State::Starting | State::Running { .. }, Command::Lose) => Decision::to(State::Lost),
        // There is no process that could choose what to make of it.
        (State::Queued, Command::Signal { signal }) => Decision::to(State::Killed { signal }),
        (State::Starting | State::Running { .. }, Command::Signal { signal }) => Decision {
            next: None,
            effect: Some(Effect::SendSignal { signal }),
        },
        (
            State::Queued
            | State::Starting
            | State::Running { .. }
            | State::Exited { .. }
            | State::Killed { .. }
            | State::Lost
            | State::Failed { .. },
            _,
        ) => Decision::NOTHING,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(5);
    const RUNNING: State = State::Running { since: NOW };

    fn next(state: &State, command: Command) -> Option<State> {
        decide(state, command, NOW).next
    }

    #[test]
    fn an_exec_is_leased_starts_and_ends_once() {
        assert_eq!(next(&State::Queued, Command::Lease), Some(State::Starting));
        assert_eq!(next(&State::Starting, Command::Start), Some(RUNNING));
        let ended = State::Exited { code: 3 };
        let end = Command::End(End::Exited { code: 3 });
        assert_eq!(next(&RUNNING, end.clone()), Some(ended.clone()));
        // The report of a start may be overtaken by that of the end.
        assert_eq!(next(&State::Starting, end), Some(ended.clone()));
        for late in [
            Command::Lease,
            Command::Start,
            Command::End(End::Killed { signal: 9 }),
            Command::Lose,
            Command::Signal { signal: 15 },
        ] {
            assert_eq!(decide(&ended, late, NOW), Decision::NOTHING);
        }
    }

    #[test]
    fn what_no_machine_has_is_not_lost_with_one() {
        assert_eq!(next(&State::Queued, Command::Lose), None);
        assert_eq!(next(&RUNNING, Command::Lose), Some(State::Lost));
    }

    #[test]
    fn a_signal_ends_what_has_no_process_and_is_sent_to_what_has() {
        let signal = Command::Signal { signal: 2 };
        assert_eq!(
            next(&State::Queued, signal.clone()),
            Some(State::Killed { signal: 2 })
        );
        let sent = decide(&RUNNING, signal, NOW);
        assert_eq!(
            (sent.next, sent.effect),
            (None, Some(Effect::SendSignal { signal: 2 }))
        );
    }
}
