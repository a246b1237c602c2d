//! `helmr-guest`: process 1 of every machine.
//!
//! It dials the worker, starts what frames ask for, carries lines and output, and reaps. It listens to nothing, knows
//! nothing of tasks beyond their ids, and keeps no file: what it holds lives in the machine's memory and survives with
//! it. Everything it waits for may be interrupted by a checkpoint.

mod agent;
mod channel;
mod connection;
mod lines;
mod processes;
mod reaper;
mod registry;
mod run;
mod silence;
mod spawn;
mod terminal;
mod user;
mod watcher;

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Where the worker's socket appears in a machine. Another directory may be given as the only argument.
const HOST_DIR: &str = "/run/helmr/host";

fn main() -> ExitCode {
    let host_dir = std::env::args_os()
        .nth(1)
        .map_or_else(|| PathBuf::from(HOST_DIR), PathBuf::from);
    match start(host_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be there to read it, and there is nobody else to tell.
            drop(writeln!(io::stderr(), "helmr-guest: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start(host_dir: PathBuf) -> io::Result<()> {
    let _reserved = spawn::reserve_channel_descriptor()?;
    if nix::unistd::Pid::this().as_raw() == 1 {
        // An image may come without it; without root's help nobody else could use what the runtime makes in its place.
        let _as_it_is = std::fs::set_permissions("/tmp", Permissions::from_mode(0o1777));
    }
    // Orphans of a run stay below the agent also where it is not process 1.
    nix::sys::prctl::set_child_subreaper(true)?;
    let mut boot_id = vec![0; 16];
    File::open("/dev/urandom")?.read_exact(&mut boot_id)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, agent::run(host_dir, boot_id))
}
