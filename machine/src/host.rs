//! The worker's end of the channel to a machine's guest agent.
//!
//! The guest dials, so a [`Listener`] only waits; what greets it with the right attempt becomes a [`Link`]. A link lives
//! through any number of connections: a redial is the normal case (the guest cannot see that a restore or a checkpoint
//! cut its connection until it writes). Frames are exactly-once and in order over all of them. Nothing here knows what a
//! frame means.

mod carrier;
mod error;
mod link;
mod listener;
mod shared;

pub use error::Error;
pub use link::{Arrived, Greeting, Link};
pub use listener::{Listener, SOCKET_NAME};
