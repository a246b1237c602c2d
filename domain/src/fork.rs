//! A live fork: what of the sessions in a machine comes along into the copy of it.
//!
//! The copy's memory is that of the original at one instant, and so its sessions are copies as of that instant: everything
//! is taken as it stands and then parked, as the machine is. What was asked of the world outside stays the original's: a
//! token belongs to whoever made it, and the copy hears at once that it was forked away from it.

use crate::run::{Run, State as RunState};
use crate::wait::{Command as WaitCommand, Kind, Outcome, State as WaitState, Wait};
use crate::{EventKind, Refusal};

/// What a copy of a run has to tell of its past, so that its events alone give its status. `None`: it is over, and is not
/// copied.
///
/// # Errors
/// `RunStopping`: what is told to end is not to go on elsewhere.
pub fn past_of(run: &Run) -> Result<Option<&'static [EventKind]>, Refusal> {
    if run.stop.is_some() && !run.status().is_final() {
        return Err(Refusal::RunStopping);
    }
    Ok(match run.state {
        RunState::Queued { .. } => Some(&[EventKind::RunCreated, EventKind::RunQueued]),
        RunState::Running { started: false, .. } => Some(&[
            EventKind::RunCreated,
            EventKind::RunQueued,
            EventKind::RunLeased,
        ]),
        RunState::Running { started: true, .. } => Some(&[
            EventKind::RunCreated,
            EventKind::RunQueued,
            EventKind::RunLeased,
            EventKind::RunStarted,
        ]),
        RunState::Waiting { .. } => Some(&[
            EventKind::RunCreated,
            EventKind::RunQueued,
            EventKind::RunLeased,
            EventKind::RunStarted,
            EventKind::RunWaiting,
        ]),
        RunState::Succeeded { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled { .. }
        | RunState::Expired { .. } => None,
    })
}

/// What happens to the copy of a wait.
#[must_use]
pub fn what_becomes_of(wait: &Wait) -> Option<WaitCommand> {
    match (&wait.state, &wait.kind) {
        (WaitState::Hot | WaitState::Parked, Kind::Token(_)) => Some(WaitCommand::Complete {
            outcome: Outcome::forked(),
            record: None,
        }),
        // Due when it was due: neither records nor time are anybody's own.
        (WaitState::Hot, Kind::Stream { .. } | Kind::Timer { .. }) => Some(WaitCommand::Park),
        (WaitState::Parked, Kind::Stream { .. } | Kind::Timer { .. })
        // Decided before the fork: the copy hears the same.
        | (
            WaitState::Resuming(_)
            | WaitState::Resolved(_)
            | WaitState::TimedOut(_)
            | WaitState::Cancelled { .. }
            | WaitState::Failed { .. },
            Kind::Token(_) | Kind::Stream { .. } | Kind::Timer { .. },
        ) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::{Clock, Command, Status, Stop, StopReason, decide, status_after};
    use crate::timer;
    use crate::wait::{Decided, ErrorCode};
    use crate::{Duration, Timestamp, TokenId, WaitId, wait};

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn run(state: RunState) -> Run {
        let mut run = Run::queued(at(0), Duration::from_secs(60), None);
        run.state = state;
        run
    }

    fn wait_id() -> WaitId {
        WaitId::new(at(0), [1; 10])
    }

    #[test]
    fn a_copy_of_a_run_that_is_not_over_is_told_in_its_own_events() {
        let running = |started| RunState::Running {
            attempt: 1,
            started,
            clock: Clock::Since(at(5)),
        };
        for state in [
            run(RunState::Queued {
                since: at(0),
                not_before: at(0),
                next_attempt: 1,
            }),
            run(running(false)),
            run(running(true)),
            run(RunState::Waiting {
                attempt: 1,
                wait: wait_id(),
            }),
        ] {
            let past = past_of(&state).expect("it may be copied").expect("copied");
            assert_eq!(
                status_after(past.iter().copied()),
                Some(state.status()),
                "{state:?}"
            );
            // Then it is set aside as any run of a machine that parks, and is what it was.
            if let Ok(decision) = decide(&state, Command::Park, at(9)) {
                let next = decision.next.unwrap_or_else(|| state.clone());
                assert_eq!(next.status(), state.status());
                assert_eq!(next.duration_ends_at(), None, "its clock stands");
                let told = past.iter().copied();
                let told = told.chain(decision.events.iter().map(|event| event.kind));
                assert_eq!(status_after(told), Some(state.status()));
            }
        }
    }

    #[test]
    fn a_run_that_is_over_is_not_copied_and_one_that_is_told_to_stop_forbids_it() {
        for state in [
            RunState::Succeeded {
                at: at(1),
                output: None,
            },
            RunState::Expired { at: at(1) },
        ] {
            assert_eq!(past_of(&run(state)), Ok(None));
        }
        let mut stopping = run(RunState::Waiting {
            attempt: 1,
            wait: wait_id(),
        });
        stopping.stop = Some(Stop {
            reason: StopReason::Cancelled,
            text: None,
            requested_at: at(1),
            awake: false,
            kill_at: at(9),
        });
        assert_eq!(past_of(&stopping), Err(Refusal::RunStopping));
        assert_eq!(stopping.status(), Status::Waiting);
    }

    /// What the copy of a wait is when the fork is made at 10.
    fn check(kind: Kind, state: WaitState, timeout_at: Option<i64>, expected: &WaitState) {
        let wait = Wait {
            kind,
            timeout_at: timeout_at.map(at),
            state,
        };
        let copied = match what_becomes_of(&wait) {
            None => wait.clone(),
            Some(command) => wait::decide(&wait, command, at(10))
                .expect("it is legal")
                .next
                .expect("it changes something"),
        };
        assert_eq!(&copied.state, expected, "{wait:?}");
        assert_eq!(
            (copied.kind, copied.timeout_at),
            (wait.kind, wait.timeout_at)
        );
    }

    fn decided(outcome: Outcome) -> WaitState {
        WaitState::Resuming(Decided {
            outcome,
            at: at(10),
            record: None,
        })
    }

    #[test]
    fn records_and_timers_are_waited_for_on_and_a_token_is_not() {
        let token = || Kind::Token(TokenId::new(at(0), [2; 10]));
        let stream = || Kind::Stream {
            stream: "messages".parse().expect("a name"),
            correlation_id: None,
        };
        // Due already: its timer says so, in each of the two.
        let timer = || Kind::Timer {
            due_at: at(7),
            clock: timer::Clock::Steady,
        };
        for state in [WaitState::Hot, WaitState::Parked] {
            check(token(), state.clone(), None, &decided(Outcome::forked()));
            check(stream(), state.clone(), None, &WaitState::Parked);
            check(timer(), state.clone(), Some(20), &WaitState::Parked);
            // Its timeout came first, though nobody has looked yet.
            check(token(), state, Some(9), &decided(Outcome::timeout()));
        }
        let heard = decided(Outcome::Ok(serde_json::json!(1)));
        check(token(), heard.clone(), None, &heard);
        let over = WaitState::Cancelled { at: at(3) };
        check(token(), over.clone(), None, &over);
        let Outcome::Err { code, .. } = Outcome::forked() else {
            panic!("a fork is no success");
        };
        assert_eq!(code, ErrorCode::Forked);
    }
}
