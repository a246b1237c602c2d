//! Everything a user can see, on the shipped binary with real machines.

mod bad_input;
mod bad_tasks;
mod cancels;
mod crash;
mod cycles;
mod examples;
mod execs;
mod files;
mod first_start;
mod following;
mod forks;
mod images;
mod limits;
mod lives;
mod parity;
mod ptys;
mod real_day;
mod samples;
mod screen;
mod shells;
mod tools;
mod versions;
mod waits;
mod workspaces;
