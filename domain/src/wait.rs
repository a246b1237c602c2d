//! A wait: what a run waits for, and the one outcome it gets.

use serde_json::{Value, json};

use crate::timer::Clock;
use crate::{
    Decision, Event, EventKind, Moment, RecordId, Refusal, StreamName, Timestamp, TokenId,
};

#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    pub kind: Kind,
    pub timeout_at: Option<Timestamp>,
    pub state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Token(TokenId),
    Stream {
        stream: StreamName,
        correlation_id: Option<String>,
    },
    Timer {
        due_at: Timestamp,
        clock: Clock,
    },
}

impl Kind {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Stream { .. } => "stream",
            Self::Timer { .. } => "timer",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing decided, and its machine has not parked since.
    Hot,
    /// Nothing decided, and its machine is parked.
    Parked,
    /// Decided, and on its way to the task.
    Resuming(Decided),
    /// The task has the outcome.
    Resolved(Decided),
    /// The task has heard that it waited too long.
    TimedOut(Decided),
    /// Told to stop, or its attempt ended, before an outcome reached the task.
    Cancelled { at: Timestamp },
    /// Its machine was lost.
    Failed { at: Timestamp },
}

impl State {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Parked => "parked",
            Self::Resuming(_) => "resuming",
            Self::Resolved(_) => "resolved",
            Self::TimedOut(_) => "timed_out",
            Self::Cancelled { .. } => "cancelled",
            Self::Failed { .. } => "failed",
        }
    }
}

/// The outcome of a wait and when it was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decided {
    pub outcome: Outcome,
    pub at: Timestamp,
    /// The stream record that the outcome carries: consumed when the task has it.
    pub record: Option<Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub id: RecordId,
    pub sequence: u64,
}

/// How a wait ends, in the form the task sees.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Ok(Value),
    /// `timeout`, `cancelled`, `expired` or `forked`.
    Err {
        code: ErrorCode,
        message: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The wait's own timeout.
    Timeout,
    /// The token was cancelled.
    Cancelled,
    /// The token's timeout.
    Expired,
    /// The session is a copy, and the token belongs to the original.
    Forked,
}

impl ErrorCode {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Forked => "forked",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Timeout, Self::Cancelled, Self::Expired, Self::Forked]
            .into_iter()
            .find(|code| code.as_str() == text)
    }
}

impl Outcome {
    #[must_use]
    pub fn timeout() -> Self {
        Self::Err {
            code: ErrorCode::Timeout,
            message: "the wait timed out".to_owned(),
        }
    }

    /// What the copy of a wait for a token hears.
    #[must_use]
    pub fn forked() -> Self {
        Self::Err {
            code: ErrorCode::Forked,
            message: "the session is a fork, and the token belongs to the one it was forked from"
                .to_owned(),
        }
    }

    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::Err {
                code: ErrorCode::Timeout,
                ..
            }
        )
    }

    /// `{"ok":true,"data":…}` or `{"ok":false,"error":{"code","message"}}`.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Ok(data) => json!({"ok": true, "data": data}),
            Self::Err { code, message } => {
                json!({"ok": false, "error": {"code": code.as_str(), "message": message}})
            }
        }
    }

    /// Reads what `to_value` gave; `None` for anything else.
    #[must_use]
    pub fn from_value(mut value: Value) -> Option<Self> {
        if value.get("ok")?.as_bool()? {
            return Some(Self::Ok(value.get_mut("data")?.take()));
        }
        let error = value.get("error")?;
        Some(Self::Err {
            code: ErrorCode::read(error.get("code")?.as_str()?)?,
            message: error.get("message")?.as_str()?.to_owned(),
        })
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The token ended or a record matches.
    Complete {
        outcome: Outcome,
        record: Option<Record>,
    },
    /// A timer fired: the wait's timeout, or what a timer wait waits for.
    Due,
    /// Its machine parked.
    Park,
    /// The task has the outcome.
    Deliver,
    /// The task waits for it no more.
    Drop,
    /// The task ended without having taken the outcome that it was given.
    GiveBack,
    /// Its run was told to stop.
    Stop,
    /// Its attempt is over. `lost`: because its machine was.
    EndAttempt { lost: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The outcome must reach the task: its machine is woken, or told.
    Wake,
    /// The session has consumed the record.
    Consume(Record),
    /// The record is unread after all.
    GiveBack(Record),
}

/// Says what `command` does to `wait`. The first outcome decided wins, and later ones change nothing.
///
/// # Errors
/// `WaitOver` when an outcome is delivered that was not decided, or to a wait that is over.
pub fn decide(
    wait: &Wait,
    command: Command,
    at: impl Into<Moment>,
) -> Result<Decision<Wait, Effect>, Refusal> {
    let at = at.into();
    let now = at.now;
    use State::{Cancelled, Failed, Hot, Parked, Resolved, Resuming, TimedOut};
    let to = |state| {
        Decision::to(Wait {
            kind: wait.kind.clone(),
            timeout_at: wait.timeout_at,
            state,
        })
    };
    match (&wait.state, command) {
        (Hot | Parked, Command::Complete { outcome, record }) => {
            // The deadline decides: what comes at the instant of the timeout is late.
            let (outcome, record) = match due_outcome(wait, at) {
                Some(due) => (due, None),
                None => (outcome, record),
            };
            Ok(resume(&to, outcome, record, now))
        }
        (Hot | Parked, Command::Due) => match due_outcome(wait, at) {
            Some(outcome) => Ok(resume(&to, outcome, None, now)),
            None => Ok(Decision::unchanged()),
        },
        (Hot, Command::Park) => Ok(to(Parked)),
        (Resuming(decided), Command::Deliver) => {
            let state = if decided.outcome.is_timeout() {
                TimedOut(decided.clone())
            } else {
                Resolved(decided.clone())
            };
            Ok(to(state).effects(decided.record.map(Effect::Consume)))
        }
        // Told again: the acknowledgement was lost.
        (Resolved(_) | TimedOut(_), Command::Deliver) => Ok(Decision::unchanged()),
        (Hot | Parked | Cancelled { .. } | Failed { .. }, Command::Deliver) => {
            Err(Refusal::WaitOver)
        }
        (Hot | Parked, Command::Drop) => {
            let event = Event::new(EventKind::WaitCancelled).with("dropped", true);
            Ok(to(Cancelled { at: now }).event(event))
        }
        (
            Resolved(Decided {
                record: Some(record),
                ..
            }),
            Command::GiveBack,
        ) => {
            let event = Event::new(EventKind::WaitCancelled).with("given_back", true);
            Ok(to(Cancelled { at: now })
                .event(event)
                .effect(Effect::GiveBack(*record)))
        }
        (Hot | Parked, Command::Stop)
        | (Hot | Parked | Resuming(_), Command::EndAttempt { lost: false }) => {
            Ok(to(Cancelled { at: now }).event(Event::new(EventKind::WaitCancelled)))
        }
        (Hot | Parked | Resuming(_), Command::EndAttempt { lost: true }) => {
            Ok(to(Failed { at: now }).event(Event::new(EventKind::WaitFailed)))
        }
        (
            Parked | Resuming(_) | Resolved(_) | TimedOut(_) | Cancelled { .. } | Failed { .. },
            Command::Park,
        )
        | (
            Resuming(_) | Resolved(_) | TimedOut(_) | Cancelled { .. } | Failed { .. },
            Command::Complete { .. } | Command::Due | Command::Stop | Command::Drop,
        )
        | (
            Resolved(_) | TimedOut(_) | Cancelled { .. } | Failed { .. },
            Command::EndAttempt { .. },
        )
        | (
            Hot
            | Parked
            | Resuming(_)
            | Resolved(_)
            | TimedOut(_)
            | Cancelled { .. }
            | Failed { .. },
            Command::GiveBack,
        ) => Ok(Decision::unchanged()),
    }
}

/// The outcome that time alone gives, if its time has come. What a timer wait waits for comes before its timeout.
fn due_outcome(wait: &Wait, at: Moment) -> Option<Outcome> {
    let timeout = wait.timeout_at.filter(|timeout| at.now >= *timeout);
    match &wait.kind {
        Kind::Timer { due_at, clock } if clock.read(at) >= *due_at => {
            // How long ago each of the two came, whatever their clocks show.
            let due_for = clock.read(at).since(*due_at);
            match timeout {
                Some(timeout) if at.now.since(timeout) > due_for => Some(Outcome::timeout()),
                Some(_) | None => Some(Outcome::Ok(Value::Null)),
            }
        }
        Kind::Timer { .. } | Kind::Token(_) | Kind::Stream { .. } => {
            timeout.map(|_| Outcome::timeout())
        }
    }
}

fn resume(
    to: &impl Fn(State) -> Decision<Wait, Effect>,
    outcome: Outcome,
    record: Option<Record>,
    now: Timestamp,
) -> Decision<Wait, Effect> {
    let event = match &outcome {
        Outcome::Ok(_) => Event::new(EventKind::WaitResolved).with("ok", true),
        Outcome::Err {
            code: ErrorCode::Timeout,
            ..
        } => Event::new(EventKind::WaitTimedOut),
        Outcome::Err { code, .. } => Event::new(EventKind::WaitResolved)
            .with("ok", false)
            .with("code", code.as_str()),
    };
    to(State::Resuming(Decided {
        outcome,
        at: now,
        record,
    }))
    .event(event)
    .effect(Effect::Wake)
}

#[cfg(test)]
mod tests;
