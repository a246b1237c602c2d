//! Everything a user can see, on the shipped binary with real machines.

mod bad_input;
mod bad_tasks;
mod cancels;
mod crash;
mod cycles;
mod examples;
mod execs;
mod first_start;
mod following;
mod images;
mod lives;
mod parity;
mod samples;
mod tools;
mod waits;
mod workspaces;
