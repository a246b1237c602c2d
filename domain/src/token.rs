//! A token: a value that something outside completes, once.

use crate::{CanonicalJson, Decision, Event, EventKind, Refusal, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub timeout_at: Timestamp,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    Pending,
    Completed { data: CanonicalJson, at: Timestamp },
    Expired { at: Timestamp },
    Cancelled { at: Timestamp },
}

impl State {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed { .. } => "completed",
            Self::Expired { .. } => "expired",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Complete(CanonicalJson),
    /// The timer.
    Expire,
    /// Someone asks for it.
    Cancel,
    /// The attempt that made it is over.
    EndAttempt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Waits on the token have their outcome now.
    ResolveWaits,
}

/// Says what `command` does to `token` at `now`. Performs nothing: the store commits the answer.
///
/// # Errors
/// `TokenExpired` from `timeout_at` on; `TokenCompletionConflict` if other data came first (compared as RFC 8785).
pub fn decide(
    token: &Token,
    command: Command,
    now: Timestamp,
) -> Result<Decision<Token, Effect>, Refusal> {
    use Command::{Cancel, Complete, EndAttempt, Expire};
    use State::{Cancelled, Completed, Expired, Pending};
    // The deadline decides, not the timer: a timer may fire late, and a completion may race it.
    let due = now >= token.timeout_at;
    let end = |state, kind| {
        Decision::to(Token {
            timeout_at: token.timeout_at,
            state,
        })
        .event(Event::new(kind))
        .effect(Effect::ResolveWaits)
    };
    match (&token.state, command) {
        (Pending, Complete(_) | Cancel) if due => Err(Refusal::TokenExpired),
        (Pending, Complete(data)) => {
            Ok(end(Completed { data, at: now }, EventKind::TokenCompleted))
        }
        (Pending, Expire) if due => Ok(end(Expired { at: now }, EventKind::TokenExpired)),
        (Pending, Cancel | EndAttempt) => Ok(end(Cancelled { at: now }, EventKind::TokenCancelled)),
        // Webhook senders deliver twice: the same data again is an answer, not an error.
        (Completed { data, .. }, Complete(again)) if *data == again => Ok(Decision::unchanged()),
        (Completed { .. }, Complete(_)) => Err(Refusal::TokenCompletionConflict),
        (Completed { .. }, Cancel) => Err(Refusal::TokenCompleted),
        (Expired { .. }, Complete(_) | Cancel) => Err(Refusal::TokenExpired),
        (Cancelled { .. }, Complete(_)) => Err(Refusal::TokenCancelled),
        (Cancelled { .. }, Cancel)
        | (Pending | Completed { .. } | Expired { .. } | Cancelled { .. }, Expire)
        | (Completed { .. } | Expired { .. } | Cancelled { .. }, EndAttempt) => {
            Ok(Decision::unchanged())
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;
    use serde_json::json;

    const DUE: i64 = 100;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn data(value: &serde_json::Value) -> CanonicalJson {
        CanonicalJson::try_from(value).unwrap()
    }

    fn check(state: State, command: Command, now: i64, expected: Result<Option<&str>, Refusal>) {
        let token = Token {
            timeout_at: at(DUE),
            state,
        };
        let said = format!("{token:?} {command:?} at {now}");
        let got = decide(&token, command, at(now));
        // Whoever changes a token tells its waits, and an unchanged one tells nobody.
        if let Ok(decision) = &got {
            assert_eq!(
                decision.next.is_some(),
                decision.events.len() == 1,
                "{said}"
            );
            assert_eq!(
                decision.next.is_some(),
                decision.effects.len() == 1,
                "{said}"
            );
        }
        let got = got.map(|decision| decision.next.map(|next| next.state.as_str()));
        assert_eq!(got, expected, "{said}");
    }

    #[test]
    fn a_pending_token_ends_once() {
        use Command::{Cancel, Complete, EndAttempt, Expire};
        let some = data(&json!({"a": 1}));
        check(
            State::Pending,
            Complete(some.clone()),
            DUE - 1,
            Ok(Some("completed")),
        );
        check(State::Pending, Cancel, DUE - 1, Ok(Some("cancelled")));
        check(State::Pending, Expire, DUE - 1, Ok(None));
        check(State::Pending, EndAttempt, DUE - 1, Ok(Some("cancelled")));
    }

    #[test]
    fn a_completion_at_the_deadline_is_late() {
        use Command::{Cancel, Complete, EndAttempt, Expire};
        let some = data(&json!(1));
        check(
            State::Pending,
            Complete(some),
            DUE,
            Err(Refusal::TokenExpired),
        );
        check(State::Pending, Cancel, DUE, Err(Refusal::TokenExpired));
        check(State::Pending, Expire, DUE, Ok(Some("expired")));
        check(State::Pending, EndAttempt, DUE, Ok(Some("cancelled")));
    }

    #[test]
    fn equal_data_is_answered_again_and_other_data_is_a_conflict() {
        let state = State::Completed {
            data: data(&json!({"a": 1, "b": 2.0})),
            at: at(5),
        };
        let again = Command::Complete(data(&json!({"b": 2, "a": 1})));
        // Also after the deadline: the first completion stands.
        check(state.clone(), again, DUE + 5, Ok(None));
        let other = Command::Complete(data(&json!({"a": 2})));
        check(
            state.clone(),
            other,
            6,
            Err(Refusal::TokenCompletionConflict),
        );
        check(
            state.clone(),
            Command::Cancel,
            6,
            Err(Refusal::TokenCompleted),
        );
        check(state.clone(), Command::Expire, DUE, Ok(None));
        check(state, Command::EndAttempt, 6, Ok(None));
    }

    #[test]
    fn expired_and_cancelled_tokens_say_so() {
        let (expired, cancelled) = (State::Expired { at: at(5) }, State::Cancelled { at: at(5) });
        let complete = Command::Complete(data(&json!(null)));
        check(
            expired.clone(),
            complete.clone(),
            6,
            Err(Refusal::TokenExpired),
        );
        check(
            expired.clone(),
            Command::Cancel,
            6,
            Err(Refusal::TokenExpired),
        );
        check(cancelled.clone(), complete, 6, Err(Refusal::TokenCancelled));
        check(cancelled.clone(), Command::Cancel, 6, Ok(None));
        for state in [expired, cancelled] {
            check(state.clone(), Command::Expire, DUE, Ok(None));
            check(state, Command::EndAttempt, 6, Ok(None));
        }
    }
}
