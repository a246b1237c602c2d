//! Worker and control plane together, as `helmr up` has them: the real router, a real store, scripted machines.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../directories/scratch.rs"]
mod scratch;

mod site;

mod files;
mod forks;
mod life;
mod restart;
