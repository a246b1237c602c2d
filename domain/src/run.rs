//! A run: one execution of a task for a session, over its attempts.
//!
//! Knows nothing of machines beyond what happens to it: leased, parked, live again, lost. Its clock runs only in status
//! `running`, while a machine has it; `active` sums the time over all attempts.

mod command;
mod decide;
mod end;
mod replay;
mod retry;
mod state;

pub use command::{Command, Effect, Loss};
pub use decide::decide;
pub use replay::status_after;
pub use retry::{Backoff, Retry};
pub use state::{Clock, Run, State, Status, Stop, StopReason, UnknownStatus};

#[cfg(test)]
mod tests;
