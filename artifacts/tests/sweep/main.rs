//! Garbage collection on a real store: what the database names is always there, and what it does not name goes.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod random;
mod together;
mod world;
