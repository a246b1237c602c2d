//! Faults that a test queues for a driver's operations.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// An operation that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Start,
    Pause,
    Resume,
    Checkpoint,
    Restore,
    Confine,
    Kill,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The runtime refuses; nothing has changed.
    Fail,
    /// Nothing happens until the deadline passes.
    Hang,
    /// The deadline passes, but what was asked for happens all the same, just then.
    HangThenHappen,
    /// It takes so much longer.
    Slow(Duration),
}

/// Faults waiting for their calls, first in, first out for each operation.
#[derive(Debug, Default)]
pub(super) struct Faults {
    queued: Mutex<HashMap<Operation, VecDeque<Effect>>>,
}

impl Faults {
    pub(super) fn push(&self, operation: Operation, effect: Effect) {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        queued.entry(operation).or_default().push_back(effect);
    }

    pub(super) fn next(&self, operation: Operation) -> Option<Effect> {
        let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
        queued.get_mut(&operation)?.pop_front()
    }
}

impl Operation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Checkpoint => "checkpoint",
            Self::Restore => "restore",
            Self::Confine => "confine",
            Self::Kill => "kill",
        }
    }
}
