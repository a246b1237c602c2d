//! Everything Helmr remembers, on SQLite or PostgreSQL: one SQL text, one Rust path.
//!
//! Each transition is one public function named by its verb: it reads, asks `helmr-domain` to decide, writes state,
//! events, timers and outbox, and commits, all in one transaction or not at all. What changed is told as [`Hint`]s after
//! the commit. The store has no clock and no randomness: both come with the input, as a `Moment`.
//!
//! It does not know HTTP, workers' connections, keys or schemas. What is secret reaches it hashed or sealed.

mod db;
mod error;
pub mod execs;
mod handle;
mod hint;
mod page;

pub mod blobs;
pub mod deployments;
pub mod events;
pub mod forks;
pub mod idempotency;
pub mod images;
pub mod inline;
pub mod keys;
pub mod manifests;
pub mod outbox;
pub mod public_tokens;
pub mod quotas;
pub mod retention;
pub mod runs;
pub mod sessions;
pub mod setup;
pub mod streams;
pub mod tasks;
pub mod timers;
pub mod tokens;
pub mod worker;
pub mod workspaces;

mod lease;
mod machine;
mod tags;
mod wait;

pub use error::{DatabaseError, Error, Result};
pub use handle::Store;
pub use hint::{Hint, Subject};
pub use page::Page;

#[doc(hidden)]
pub use db::check;
