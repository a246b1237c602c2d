//! A seeded simulator of the durable core: the real domain and the real store, with everything around them simulated.
//!
//! A schedule is drawn from its seed: clients, a control plane, workers, guests and their clocks, and what goes wrong. One
//! queue of events plays it in simulated time, in one thread, so that a seed replays to the last row. After every
//! operation of the store each changed row is checked against what it was, and everything against what must always hold.
//!
//! It knows the store by its front door and by its rows, and simulates what `control` and `worker` make of it.

mod base;
mod calls;
mod calm;
mod changes;
mod control;
mod dice;
mod event;
mod guest;
mod handlers;
mod invariants;
mod plan;
mod requests;
mod row;
mod shadow;
mod violation;
mod worker;
mod world;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

pub use base::Base;
pub use violation::Violation;
pub use world::{Played, play};

/// The result of an operation of an inline store, which is there when it is first asked for.
fn ready<T>(operation: impl Future<Output = T>) -> T {
    let mut operation = pin!(operation);
    loop {
        if let Poll::Ready(result) = operation
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            return result;
        }
    }
}
