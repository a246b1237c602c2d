//! `cargo xtask scale`: tests of large trees at their full size; `cargo xtask check` runs them at a fiftieth.

use anyhow::Result;
use clap::ValueEnum;

use crate::command::Run;
use crate::workspace::Workspace;

/// What is made large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// A million small files, worked on one by one and all at once.
    Files,
    /// Captures in a tree of 5 GiB in 100,000 files, which counts bytes. Needs 11 GiB of disk.
    Versions,
}

/// Builds the test for the full size and runs it.
pub(crate) fn run(workspace: &Workspace, what: What) -> Result<()> {
    let (test, filter, variable, value) = match what {
        What::Files => ("files", "scale", "HELMR_SCALE_FILES", "1000000"),
        What::Versions => ("scale", "", "HELMR_SCALE_DIVISOR", "1"),
    };
    Run::cargo(workspace)
        .args(["test", "--locked", "--release"])
        .args(["--package", "helmr-artifacts", "--test", test])
        .args(["--", "--nocapture", filter])
        .variable(variable, value)
        .run()
}
