//! Machines in gVisor: each is a detached `runsc` sandbox that outlives the worker.
//!
//! The order of steps and the flags follow from what was measured with the pinned `runsc`: an exit code of 0 is the only
//! proof of success, a killed client's work may still happen, and what it leaves is ours to remove.

mod cgroup;
mod command;
mod driver;
mod image;
mod process;
mod remains;
mod spec;

pub use driver::{Gvisor, Settings};
