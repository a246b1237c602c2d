//! The worker: makes machines live, parks and wakes them, and runs tasks in them, as the control plane's assignments say.
//!
//! It never opens the store, and nothing it does takes effect before the control plane has committed it. It may be killed
//! at any line: machines outlive it, and the next worker on the same directory adopts them.

mod config;
mod error;
mod points;
mod running;

mod base;
mod identity;

mod client;
mod connect;
mod copies;
mod report;
mod serve;

mod adopt;
mod directive;
mod dispatcher;
mod housekeeping;
mod lease;

mod record;
mod relay;
mod slot;

mod bundles;
mod files;
mod images;
mod import;
mod turns;
mod workspace;

mod backoff;
mod clock;
mod directory;
mod disks;

#[cfg(test)]
mod testing;

pub use config::Config;
pub use error::Error;
pub use points::CRASH_POINTS;
pub use running::{Running, Worker};
