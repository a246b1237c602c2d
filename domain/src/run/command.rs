//! What can happen to a run, and what must follow.

use serde_json::Value;

use super::StopReason;
use crate::{Failure, WaitId, timer};

#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// A worker is given the run. `live`: the machine it joins is live, so that nothing has to be prepared.
    Lease,
    /// The task's code begins.
    Start,
    /// The task blocks on a wait whose outcome is not known.
    Wait(WaitId),
    /// The task has the outcome of its wait.
    Resume(WaitId),
    /// Something else in it is awake beside its wait, which goes on.
    Hold,
    /// Its machine was checkpointed.
    Park,
    /// Its machine is live: for the first time, again, or still.
    Live,
    Succeed {
        output: Option<Value>,
    },
    Fail(Failure),
    /// Its processes ended after the order to stop.
    Stopped,
    /// Someone wants it to end, and may have said why. `live`: its machine is live, so that its grace begins at once.
    Stop {
        reason: StopReason,
        text: Option<String>,
        live: bool,
    },
    /// The timer of its time to live.
    ExpireTtl,
    /// The timer of its max duration.
    ExceedDuration,
    /// The timer of an order to stop.
    EndGrace,
    /// Its machine is gone, and its attempt with it.
    Lose(Loss),
}

/// How an attempt's machine went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// Its worker was not heard of.
    Worker,
    /// The machine died or could not be made; says what that makes of a run that cannot be dispatched again.
    Machine(Failure),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Timer(timer::Change),
    /// Undecided waits of the attempt are cancelled.
    StopWaits,
    /// Waits and pending tokens of the attempt are over. `lost`: its machine is.
    EndAttempt {
        lost: bool,
    },
    /// The session goes on without the run. `unread_starts_next`: unread input may start the next one.
    End {
        unread_starts_next: bool,
    },
}
