//! The worker against a control plane over the real protocol, on scripted machines: every edge of a machine's life.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests fail by panicking, and their control plane tells the time"
)]

mod control;
mod world;

mod adopt;
mod drain;
mod lease;
mod park;
mod run;
mod start;
mod stop;
mod wake;
