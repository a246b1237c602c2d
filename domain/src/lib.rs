//! The state machines of Helmr, and the words they are written in.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no wire format beyond the text of ids. A transition is
//! `decide(state, command, now)`, which says what happens next and performs nothing.

#![warn(clippy::wildcard_enum_match_arm)]

mod id;
mod json;
mod name;
mod scope;
mod time;

pub use id::*;
pub use json::{CanonicalJson, NotCanonical};
pub use name::{NameError, QueueName, ResourceName, Slug, StreamName};
pub use scope::Scope;
pub use time::{Duration, InvalidDuration, Timestamp};
