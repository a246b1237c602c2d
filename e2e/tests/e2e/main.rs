//! Everything a user can see, on the shipped binary with real machines.

#![expect(
    clippy::unwrap_used,
    clippy::panic_in_result_fn,
    reason = "tests fail by panicking"
)]

mod bad_input;
mod bad_tasks;
mod crash;
mod cycles;
mod first_start;
mod images;
mod samples;
mod tools;
mod waits;
