//! `cargo xtask build`: one command for everything a user runs.
//!
//! The guest is linked statically, because it runs as the first process of any image, and has a target directory of its
//! own, so that its flags do not make cargo build everything else anew. The binary carries the guest and the SDK.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::Run;
use crate::report::{self, Outcome};
use crate::sdk;
use crate::workspace::{GUEST_TARGET, Workspace};

/// How the binary is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Debug,
    Release,
}

impl Profile {
    pub(crate) fn from_release(release: bool) -> Self {
        if release { Self::Release } else { Self::Debug }
    }

    fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds guest, SDK and binary, in this order.
pub(crate) fn run(workspace: &Workspace, profile: Profile) -> Result<()> {
    let guest: &dyn Fn() -> Result<()> = &|| guest(workspace);
    let sdk: &dyn Fn() -> Result<()> = &|| sdk::build(workspace);
    let binary: &dyn Fn() -> Result<()> = &|| binary(workspace, profile);
    let mut took = Duration::ZERO;
    for (name, work) in [("guest", guest), ("sdk", sdk), ("helmr", binary)] {
        let (outcome, time) = report::step(name, work);
        took += time;
        ensure!(outcome == Outcome::Passed, "the build stopped at {name}");
    }
    report::note(&format!(
        "target/{}/helmr is ready ({:.0} s)",
        profile.folder(),
        took.as_secs_f64()
    ));
    Ok(())
}

fn guest(workspace: &Workspace) -> Result<()> {
    // The agent's digest is part of what names a checkpoint's runtime: the path of the checkout must not change it.
    let root = workspace.root().to_string_lossy();
    let flags = [
        "-C".to_owned(),
        "target-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={root}=helmr"),
    ];
    Run::cargo(workspace)
        .args(["build", "--locked", "--profile", "guest"])
        .args(["--package", "helmr-guest", "--target", GUEST_TARGET])
        .args(["--target-dir", "target/guest"])
        .without("RUSTFLAGS")
        .variable("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .run()?;
    let size = std::fs::metadata(workspace.guest())
        .context("the build made no guest")?
        .len();
    report::note(&format!("helmr-guest: {} KiB", size / 1024));
    Ok(())
}

fn binary(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut cargo = Run::cargo(workspace).args(["build", "--locked", "--package", "helmr"]);
    if profile == Profile::Release {
        cargo = cargo.args(["--release"]);
    }
    cargo
        .variable("HELMR_GUEST_PATH", workspace.guest())
        .variable("HELMR_SDK_PATH", workspace.sdk_package())
        .variable("HELMR_SDK_KIT_PATH", workspace.sdk_kit())
        .run()
}
