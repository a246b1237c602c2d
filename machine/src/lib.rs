//! Machines: the isolated places in which a workspace's processes run.
//!
//! A [`Driver`] starts, pauses, checkpoints, restores and kills machines; [`host`] is the worker's end of the channel to
//! the guest agent inside. Nothing here knows of runs beyond the ids that frames carry, and nothing here talks to the
//! control plane.

mod clock;
pub mod disk;
mod driver;
mod error;
pub mod gvisor;
pub mod host;
pub mod rootfs;
pub mod scripted;

pub use driver::{Attempt, Capabilities, Driver, Limits, Presence, RuntimeIdentity, Spec, Stats};
pub use error::Error;
