//! The command line: every command that is a client of the public API.
//!
//! It knows the server only through [`helmr_api::client`]; the commands that run a server or look at this machine are
//! beside it, in the `helmr` binary, and print with the same means.

mod clock;
mod commands;
mod context;
pub mod default_image;
pub mod deploy;
pub mod env;
mod error;
mod hints;
mod input;
mod moment;
mod output;
pub mod profile;
mod progress;
pub mod reference;
mod show;
mod style;
mod table;
mod terminal;

pub use clock::now;
pub use commands::Command;
pub use context::{Context, Global};
pub use deploy::kit::Kit;
pub use error::{CommandError, Exit};
pub use moment::size;
pub use output::Output;
pub use style::{Paint, Style, of_status};

/// The version that clients and servers of this build name.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
