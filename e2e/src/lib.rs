//! Drives the shipped `helmr` binary from outside: a server on a directory of its own, the command line, plain HTTP,
//! programs written with the SDK.
//!
//! Nothing here links the product's crates: what a test sees is what a user sees. Whatever a server left running ends when
//! its [`Server`] is dropped, also when the test fails.

mod cli;
mod history;
mod machines;
mod program;
mod server;
mod template;
mod tools;

pub use cli::{Cli, Outcome};
pub use machines::Machines;
pub use program::{Program, chromium, sdk_program};
pub use server::{Options, Server, without_loop_devices};
pub use tools::{binary, poll_until, repository};
