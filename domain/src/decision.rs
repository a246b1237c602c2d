//! What a state machine answers: the next state, the events that tell of it, and what else must follow.

use crate::Event;

/// The answer of a `decide`. The store commits all of it in one transaction, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<State, Effect> {
    /// `None`: nothing changes, and the command is answered as if it had just been done.
    pub next: Option<State>,
    pub events: Vec<Event>,
    pub effects: Vec<Effect>,
}

impl<State, Effect> Decision<State, Effect> {
    /// Moves to `next`.
    #[must_use]
    pub fn to(next: State) -> Self {
        Self {
            next: Some(next),
            events: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Leaves everything as it is.
    #[must_use]
    pub fn unchanged() -> Self {
        Self {
            next: None,
            events: Vec::new(),
            effects: Vec::new(),
        }
    }

    #[must_use]
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    #[must_use]
    pub fn effect(mut self, effect: Effect) -> Self {
        self.effects.push(effect);
        self
    }

    #[must_use]
    pub fn effects(mut self, effects: impl IntoIterator<Item = Effect>) -> Self {
        self.effects.extend(effects);
        self
    }
}
