//! The state machines of Helmr, and the words they are written in.
//!
//! Everything here is pure: no I/O, no clock, no randomness, no wire format beyond the text of ids. A transition is
//! `decide(state, command, now)`, which says what happens next and performs nothing.

#![warn(clippy::wildcard_enum_match_arm)]

mod decision;
mod event;
pub mod exec;
mod failure;
pub mod fork;
mod id;
mod json;
pub mod lease;
pub mod limits;
pub mod machine;
pub mod moment;
mod name;
pub mod placement;
pub mod pty;
pub mod quota;
mod refusal;
pub mod run;
mod scope;
pub mod session;
pub mod stream;
mod time;
pub mod timer;
pub mod token;
pub mod wait;

pub use decision::Decision;
pub use event::{Event, EventKind, UnknownEventKind};
pub use failure::{Failure, FailureKind, UnknownFailureKind};
pub use id::*;
pub use json::{CanonicalJson, NotCanonical};
pub use lease::Epoch;
pub use moment::Moment;
pub use name::{NameError, QueueName, ResourceName, Slug, StreamName};
pub use refusal::Refusal;
pub use scope::Scope;
pub use time::{Civil, Duration, InvalidDuration, Timestamp};
