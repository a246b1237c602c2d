//! `cargo xtask scale`: the tests of large trees at their full size, which counts bytes and takes no times.

use anyhow::Result;
use clap::ValueEnum;

use crate::command::Run;
use crate::workspace::Workspace;

/// What is made at full size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Captures in a tree of 5 GiB in 100,000 files. Needs 11 GiB of disk.
    Versions,
}

/// Builds the test for the full size and runs it.
pub(crate) fn run(workspace: &Workspace, what: What) -> Result<()> {
    let package = match what {
        What::Versions => "helmr-artifacts",
    };
    Run::cargo(workspace)
        .args(["test", "--locked", "--package", package, "--test", "scale"])
        .args(["--", "--nocapture"])
        .variable("HELMR_SCALE_DIVISOR", "1")
        .run()
}
