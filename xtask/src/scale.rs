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
}

pub(crate) fn run(workspace: &Workspace, what: What) -> Result<()> {
    match what {
        What::Files => files(workspace),
    }
}

fn files(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace)
        .args(["test", "--locked", "--release"])
        .args(["--package", "helmr-artifacts", "--test", "files"])
        .args(["--", "--nocapture", "scale"])
        .variable("HELMR_SCALE_FILES", "1000000")
        .run()
}
