//! The control plane: the HTTP edge, the operations behind it, and the loops that keep promises when nobody asks.
//!
//! It decides nothing by itself: transitions are `helmr-domain`'s, committed by `helmr-store`. It never touches a machine
//! or a workspace's files: it tells workers what should be, and they tell it what is.

mod clock;
mod config;
mod entropy;
mod error;
mod refusal;

mod credential;
mod declared;
mod keyring;
mod schema;

mod hub;
mod news;
mod outlines;
mod state;

mod http;
mod loops;
mod ops;

mod start;

pub use clock::Clock;
pub use config::{Config, Database, Settings};
pub(crate) use error::ApiError;
pub use start::{Running, StartError, start};
pub(crate) use state::Control;
