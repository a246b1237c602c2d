//! Machines in this process, whose guests follow scripts: for tests of everything above a driver.
//!
//! Frames, socket, positions, redials and checkpoints are real; processes are not. A checkpoint writes the guest's state
//! to its image, and a restore continues from there, as often as one likes. Faults are queued by tests.

mod driver;
mod fault;
mod guest;
mod script;
mod state;

pub use driver::Scripted;
pub use fault::{Effect, Operation};
pub use script::Step;
