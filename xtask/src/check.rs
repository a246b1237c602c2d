//! `cargo xtask check`: everything a change must pass, in the order that fails soonest.
//!
//! A failed step does not hide the others: only steps that need what it makes are left out.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::build::{self, Profile};
use crate::command::Run;
use crate::report::{self, Outcome};
use crate::workspace::Workspace;
use crate::{codegen, sdk, sim, tidy};

/// One check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// The code is formatted.
    Fmt,
    /// The house rules that no other tool knows.
    Tidy,
    /// `script/setup`: what it says where it cannot work, and that it can be stopped.
    Setup,
    /// Licences, banned crates and sources of the dependencies.
    Deny,
    /// The compiler's and clippy's lints.
    Clippy,
    /// Everything a user runs, as they run it.
    Build,
    /// The generated files are those of this code.
    Generated,
    /// Style, types and tests of the SDK.
    Sdk,
    /// The Rust tests.
    Test,
    /// Simulated schedules of the durable core.
    Sim,
    /// The shipped binary from outside.
    E2e,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Tidy => "tidy",
            Self::Setup => "setup",
            Self::Deny => "deny",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Generated => "generated",
            Self::Sdk => "sdk",
            Self::Test => "test",
            Self::Sim => "sim",
            Self::E2e => "e2e",
        }
    }

    /// Whether it runs what `Build` makes.
    fn needs_build(self) -> bool {
        match self {
            Self::Generated | Self::E2e => true,
            Self::Fmt
            | Self::Tidy
            | Self::Setup
            | Self::Deny
            | Self::Clippy
            | Self::Build
            | Self::Sdk
            | Self::Test
            | Self::Sim => false,
        }
    }

    fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Fmt => fmt(workspace),
            Self::Tidy => tidy::run(workspace),
            Self::Setup => setup(workspace),
            Self::Deny => deny(workspace),
            Self::Clippy => clippy(workspace),
            Self::Build => build::run(workspace, Profile::Release),
            Self::Generated => codegen::check(workspace),
            Self::Sdk => sdk::check(workspace).and_then(|()| sdk::test(workspace)),
            Self::Test => test(workspace),
            Self::Sim => sim::check(workspace),
            Self::E2e => end_to_end(workspace, &[]),
        }
    }
}

/// Runs the steps, all of them if none is named, and fails if one failed.
pub(crate) fn run(workspace: &Workspace, steps: &[Step]) -> Result<()> {
    let steps = if steps.is_empty() {
        Step::value_variants()
    } else {
        steps
    };
    let mut done: Vec<(&str, Outcome, Duration)> = Vec::new();
    let mut built = true;
    for &step in steps {
        if step.needs_build() && !built {
            done.push((step.name(), Outcome::NotRun, Duration::ZERO));
            continue;
        }
        let (outcome, took) = report::step(step.name(), || step.run(workspace));
        if step == Step::Build {
            built = outcome == Outcome::Passed;
        }
        done.push((step.name(), outcome, took));
    }
    report::summary(&done);
    let failed: Vec<&str> = done
        .iter()
        .filter(|(_, outcome, _)| *outcome != Outcome::Passed)
        .map(|(name, ..)| *name)
        .collect();
    if !failed.is_empty() {
        bail!(
            "not passed: {}. To repeat: cargo xtask check {}",
            failed.join(", "),
            failed.join(" ")
        );
    }
    Ok(())
}

/// Looks the dependencies up in the advisory database.
pub(crate) fn advisories(workspace: &Workspace) -> Result<()> {
    require_cargo_deny(workspace)?;
    Run::cargo(workspace)
        .args(["deny", "--locked", "check", "advisories"])
        .run()
}

fn fmt(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace)
        .args(["fmt", "--all", "--check"])
        .run()
        .context("not formatted: run cargo fmt --all")
}

fn setup(workspace: &Workspace) -> Result<()> {
    Run::program(workspace, workspace.path("script/lib/setup_test.sh")).run()
}

fn clippy(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace)
        .args(["clippy", "--locked", "--workspace", "--all-targets"])
        .args(["--", "--deny", "warnings"])
        .run()
}

fn deny(workspace: &Workspace) -> Result<()> {
    require_cargo_deny(workspace)?;
    // What cargo-deny reads must be on this machine, also on one that has built nothing yet.
    Run::cargo(workspace).args(["fetch", "--locked"]).run()?;
    Run::cargo(workspace)
        .args([
            "deny",
            "--locked",
            "--offline",
            "check",
            "--hide-inclusion-graph",
        ])
        .args(["licenses", "bans", "sources"])
        .run()
        .context("see deny.toml for what is allowed and why")
}

fn require_cargo_deny(workspace: &Workspace) -> Result<()> {
    Run::cargo(workspace)
        .args(["deny", "--version"])
        .output()
        .map(drop)
        .context(
            "cargo-deny is missing: run script/setup, or cargo install --locked cargo-deny@0.20.2",
        )
}

fn test(workspace: &Workspace) -> Result<()> {
    let mut cargo = Run::cargo(workspace).args(["test", "--locked", "--workspace"]);
    if workspace.has_crate("e2e") {
        cargo = cargo.args(["--exclude", "helmr-e2e"]);
    }
    with_tools(workspace, cargo)?.run()
}

/// Tests the release binary from outside; `rest` is given to `cargo test`.
pub(crate) fn end_to_end(workspace: &Workspace, rest: &[String]) -> Result<()> {
    if !workspace.has_crate("e2e") {
        bail!("there is no crate in e2e/");
    }
    let cargo = Run::cargo(workspace)
        .args(["test", "--locked", "--package", "helmr-e2e"])
        .args(rest)
        .variable("HELMR_E2E_BINARY", workspace.path("target/release/helmr"));
    with_tools(workspace, cargo)?.run()
}

/// Adds what `script/setup` installed to a program's environment.
pub(crate) fn with_tools(workspace: &Workspace, run: Run) -> Result<Run> {
    Ok(run
        .variable("HELMR_HOME", workspace.root())
        .variable("HELMR_RUNSC", workspace.path("tools/runsc"))
        .variable("PATH", workspace.path_with_node()?))
}
