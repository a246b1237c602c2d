//! The worker against a control plane over the real protocol, on scripted machines: every edge of a machine's life.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../directories/scratch.rs"]
mod scratch;

mod control;
mod ledger;
mod world;

mod adopt;
mod captures;
mod disks;
mod drain;
mod image;
mod lease;
mod park;
mod run;
mod start;
mod stop;
mod wake;
