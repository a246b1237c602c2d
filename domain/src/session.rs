//! A session: the history of one task's invocation.

use crate::{Decision, Event, EventKind, Moment, Refusal, RunId, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// A time of day.
    pub expires_at: Option<Timestamp>,
    /// The run that has not ended, if any.
    pub active_run: Option<RunId>,
    pub state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Open,
    Closed { at: Timestamp },
    Cancelled { at: Timestamp },
    Expired { at: Timestamp },
}

impl State {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed { .. } => "closed",
            Self::Cancelled { .. } => "cancelled",
            Self::Expired { .. } => "expired",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A start with the session's external id and fingerprint, or input to it, wants a run.
    StartRun(RunId),
    /// The active run ended. `next` is its successor, when unread input asks for one.
    EndRun {
        run: RunId,
        next: Option<RunId>,
    },
    Close,
    Cancel,
    /// The timer.
    Expire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The session's next run begins.
    CreateRun(RunId),
    /// The session is over: its run is told to stop.
    StopRun(RunId),
}

/// Says what `command` does to `session`.
///
/// # Errors
/// `SessionRunActive` when closing over a run; `SessionNotOpen` for anything a session that is over cannot do.
pub fn decide(
    session: &Session,
    command: Command,
    at: impl Into<Moment>,
) -> Result<Decision<Session, Effect>, Refusal> {
    let Moment { now, wall, .. } = at.into();
    let due = session.expires_at.is_some_and(|at| wall >= at);
    let to = |state, active_run| {
        Decision::to(Session {
            expires_at: session.expires_at,
            active_run,
            state,
        })
    };
    match (session.state, command) {
        (State::Open, Command::StartRun(_) | Command::Close) if due => Err(Refusal::SessionNotOpen),
        (State::Open, Command::StartRun(run)) => match session.active_run {
            // The run that is there serves it.
            Some(_) => Ok(Decision::unchanged()),
            None => Ok(to(State::Open, Some(run)).effect(Effect::CreateRun(run))),
        },
        (State::Open, Command::Close) => match session.active_run {
            Some(run_id) => Err(Refusal::SessionRunActive { run_id }),
            None => {
                Ok(to(State::Closed { at: now }, None).event(Event::new(EventKind::SessionClosed)))
            }
        },
        (State::Open, Command::Cancel) => Ok(to(State::Cancelled { at: now }, session.active_run)
            .event(Event::new(EventKind::SessionCancelled))
            .effects(session.active_run.map(Effect::StopRun))),
        (State::Open, Command::Expire) if due => {
            Ok(to(State::Expired { at: now }, session.active_run)
                .event(Event::new(EventKind::SessionExpired))
                .effects(session.active_run.map(Effect::StopRun)))
        }
        (state, Command::EndRun { run, next }) if session.active_run == Some(run) => {
            // A session that is over starts nothing more.
            let next = next.filter(|_| state == State::Open && !due);
            Ok(to(state, next).effects(next.map(Effect::CreateRun)))
        }
        (State::Cancelled { .. }, Command::Cancel)
        | (State::Closed { .. }, Command::Close)
        | (
            State::Open | State::Closed { .. } | State::Cancelled { .. } | State::Expired { .. },
            Command::Expire | Command::EndRun { .. },
        ) => Ok(Decision::unchanged()),
        (State::Closed { .. } | State::Expired { .. }, Command::Cancel)
        | (State::Cancelled { .. } | State::Expired { .. }, Command::Close)
        | (
            State::Closed { .. } | State::Cancelled { .. } | State::Expired { .. },
            Command::StartRun(_),
        ) => Err(Refusal::SessionNotOpen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: i64 = 100;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn run(number: u8) -> RunId {
        RunId::new(at(0), [number; 10])
    }

    fn session(state: State, active: Option<u8>) -> Session {
        Session {
            expires_at: Some(at(DUE)),
            active_run: active.map(run),
            state,
        }
    }

    type Expected = Result<Option<(&'static str, Option<u8>, Vec<Effect>)>, Refusal>;

    fn check(session: &Session, command: Command, now: i64, expected: Expected) {
        let got = decide(session, command, at(now)).map(|decision| {
            let effects = decision.effects;
            decision
                .next
                .map(|next| (next.state.as_str(), next.active_run, effects))
        });
        let expected = expected
            .map(|next| next.map(|(state, active, effects)| (state, active.map(run), effects)));
        assert_eq!(got, expected, "{session:?} {command:?} at {now}");
    }

    #[test]
    fn an_idle_open_session_starts_a_run_and_a_busy_one_keeps_its_own() {
        let create = vec![Effect::CreateRun(run(2))];
        let start = Command::StartRun(run(2));
        check(
            &session(State::Open, None),
            start,
            5,
            Ok(Some(("open", Some(2), create))),
        );
        check(&session(State::Open, Some(1)), start, 5, Ok(None));
        check(
            &session(State::Open, None),
            start,
            DUE,
            Err(Refusal::SessionNotOpen),
        );
    }

    #[test]
    fn a_session_closes_only_when_no_run_is_active() {
        let active = Refusal::SessionRunActive { run_id: run(1) };
        check(
            &session(State::Open, Some(1)),
            Command::Close,
            5,
            Err(active),
        );
        check(
            &session(State::Open, None),
            Command::Close,
            5,
            Ok(Some(("closed", None, vec![]))),
        );
        let closed = session(State::Closed { at: at(1) }, None);
        check(&closed, Command::Close, 5, Ok(None));
        check(&closed, Command::Cancel, 5, Err(Refusal::SessionNotOpen));
        check(
            &closed,
            Command::StartRun(run(1)),
            5,
            Err(Refusal::SessionNotOpen),
        );
        check(&closed, Command::Expire, DUE, Ok(None));
    }

    #[test]
    fn cancelling_and_expiring_stop_the_run() {
        let stop = vec![Effect::StopRun(run(1))];
        let open = session(State::Open, Some(1));
        check(
            &open,
            Command::Cancel,
            5,
            Ok(Some(("cancelled", Some(1), stop.clone()))),
        );
        check(&open, Command::Expire, DUE - 1, Ok(None));
        check(
            &open,
            Command::Expire,
            DUE,
            Ok(Some(("expired", Some(1), stop))),
        );
        let cancelled = session(State::Cancelled { at: at(1) }, Some(1));
        check(&cancelled, Command::Cancel, 5, Ok(None));
        check(&cancelled, Command::Close, 5, Err(Refusal::SessionNotOpen));
        let expired = session(State::Expired { at: at(1) }, None);
        check(&expired, Command::Cancel, 5, Err(Refusal::SessionNotOpen));
        check(&expired, Command::Close, 5, Err(Refusal::SessionNotOpen));
    }

    #[test]
    fn a_run_that_ends_hands_over_only_in_an_open_session() {
        let end = Command::EndRun {
            run: run(1),
            next: Some(run(2)),
        };
        let create = vec![Effect::CreateRun(run(2))];
        check(
            &session(State::Open, Some(1)),
            end,
            5,
            Ok(Some(("open", Some(2), create))),
        );
        let cancelled = session(State::Cancelled { at: at(1) }, Some(1));
        check(&cancelled, end, 5, Ok(Some(("cancelled", None, vec![]))));
        check(
            &session(State::Open, Some(1)),
            end,
            DUE,
            Ok(Some(("open", None, vec![]))),
        );
        // Another run's end: an old report.
        check(&session(State::Open, Some(3)), end, 5, Ok(None));
    }
}
