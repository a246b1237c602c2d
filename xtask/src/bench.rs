//! `cargo xtask bench`: builds what is measured and runs the measurements.

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::build::{self, Profile};
use crate::check;
use crate::command::Run;
use crate::workspace::Workspace;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Start, park and wake of a machine, against `runsc` driven by hand.
    Machine,
    /// Durable calls, steps and waits beside a peer, and what many waiting runs cost.
    Sessions,
    /// Durable transitions and the latency of completing a token, against a bare commit.
    Store,
    /// What many waiting runs cost; takes no rounds.
    Waiting,
    /// Versions, files, commands and forks of workspaces, against git, tar and `runsc`. Needs 40 GiB of disk.
    Workspaces,
    /// The same with trees of at most a fiftieth, for a look; keeps no table.
    WorkspacesSmall,
}

/// Builds with optimisations and measures.
pub(crate) fn run(workspace: &Workspace, what: What, rounds: u32) -> Result<()> {
    ensure!(workspace.has_crate("bench"), "there is no crate in bench/");
    build::run(workspace, Profile::Release)?;
    let what = match what {
        What::Machine => "machine",
        What::Sessions => "sessions",
        What::Store => "store",
        What::Waiting => "waiting",
        What::Workspaces => "workspaces",
        What::WorkspacesSmall => "workspaces-small",
    };
    let cargo = Run::cargo(workspace)
        .args([
            "run",
            "--locked",
            "--release",
            "--package",
            "helmr-bench",
            "--",
        ])
        .args([what.to_owned(), rounds.to_string()]);
    check::with_tools(workspace, cargo)?.run()
}
