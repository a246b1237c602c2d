//! Where things are in the checkout.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::env;

/// The target whose static C library the guest is linked with.
pub(crate) const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// The checkout.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .context("the xtask crate has no parent directory")?;
        Ok(Self::at(root))
    }

    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The static guest agent, after a build.
    pub(crate) fn guest(&self) -> PathBuf {
        self.path(&format!("target/guest/{GUEST_TARGET}/guest/helmr-guest"))
    }

    /// The SDK's npm package, after a build.
    pub(crate) fn sdk_package(&self) -> PathBuf {
        self.path("target/sdk/helmr-sdk.tgz")
    }

    /// The SDK with everything that its bundler loads, after a build.
    pub(crate) fn sdk_kit(&self) -> PathBuf {
        self.path("target/sdk/helmr-sdk-kit.tar.zst")
    }

    /// `PATH` with the Node that `script/setup` installed before any other.
    pub(crate) fn path_with_node(&self) -> Result<OsString> {
        let mut folders = vec![self.path(".helmr/toolchain/node/bin")];
        let path = env::path();
        folders.extend(std::env::split_paths(&path));
        std::env::join_paths(folders).context("make PATH")
    }

    /// Fails with what to do unless `script/setup` installed Node.
    pub(crate) fn require_node(&self) -> Result<()> {
        anyhow::ensure!(
            self.path(".helmr/toolchain/node/bin/node").is_file(),
            "Node is missing in .helmr/toolchain/node: run script/setup"
        );
        Ok(())
    }

    /// Whether the workspace has a member crate in this folder.
    pub(crate) fn has_crate(&self, folder: &str) -> bool {
        self.path(folder).join("Cargo.toml").is_file()
    }
}
