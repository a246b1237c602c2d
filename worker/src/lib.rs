//! The worker: makes machines live, parks and wakes them, and runs tasks in them, as the control plane's assignments say.
//!
//! It never opens the store, and nothing it does takes effect before the control plane has committed it. It may be killed
//! at any line: machines outlive it, and the next worker on the same directory adopts them.

mod config;
mod error;
mod running;

pub use config::Config;
pub use error::Error;
pub use running::{Running, Worker};
