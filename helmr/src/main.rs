//! `helmr`: server, worker and command line in one file.
//!
//! It only wires: what a command does is in `helmr-cli`, what a server does in `helmr-control` and `helmr-worker`. Here
//! are the commands that need more than a client has: `up` runs a server, `doctor` looks at this machine.

mod arguments;
mod doctor;
mod embedded;
mod filesystem;
mod guest;
mod logging;
mod reference;
mod runsc;
mod up;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use helmr_cli::{CommandError, Context, Kit, Style};

use arguments::{Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(error) => {
            let text = error.render(Style::of_stderr());
            // Nobody can be told that nobody can be told.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
            ExitCode::from(error.exit().code())
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode, CommandError> {
    helmr_api::fault::arm(helmr_cli::env::FAULT_KILL_AT.text().as_deref());
    // One provider for everything that speaks TLS; a second installation would be refused.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = runtime(&arguments.command)
        .map_err(|error| CommandError::failed("start the runtime").because(&error))?;
    let context = Context::new(arguments.global, embedded::SDK_KIT.map(Kit));
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Up(arguments) => up::run(arguments, &context).await,
            Command::Doctor(arguments) => return doctor::run(arguments, &context).await,
            Command::Reference(arguments) => reference::run(&arguments, &context).await,
            Command::Client(command) => command.run(&context, Arguments::command()).await,
        }
        .map(|()| ExitCode::SUCCESS)
    });
    // What still runs on threads, such as a name look-up, is nobody's concern any more.
    runtime.shutdown_background();
    done
}

/// A server needs threads; a client is done sooner with one.
fn runtime(command: &Command) -> std::io::Result<tokio::runtime::Runtime> {
    match command {
        Command::Up(_) => tokio::runtime::Builder::new_multi_thread()
            .thread_name("helmr")
            .enable_all()
            .build(),
        Command::Doctor(_) | Command::Reference(_) | Command::Client(_) => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
        }
    }
}
