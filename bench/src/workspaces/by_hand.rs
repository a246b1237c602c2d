//! Versions kept by hand: a tree on this host with git, and with tar.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::tree::{Change, Size};
use crate::machine::milliseconds;

/// A tree with a repository in it, on the disk that the server is on.
pub(super) struct ByHand {
    directory: tempfile::TempDir,
}

impl ByHand {
    pub(super) fn make(size: Size) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("helmr-bench-")
            .tempdir_in(helmr_e2e::repository().join("target/e2e"))?;
        let by_hand = Self { directory };
        fs::create_dir(by_hand.tree())?;
        size.make(&by_hand.tree())?;
        Ok(by_hand)
    }

    /// Where the tree is. Git's part of it is there from the first commit on.
    pub(super) fn tree(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    /// Begins a repository that does nothing in the background.
    pub(super) fn begin(&self) -> Result<()> {
        self.sh("git init --quiet && git config user.name bench && git config user.email bench@example.com \
                 && git config gc.auto 0 && git config maintenance.auto false")
            .map(drop)
    }

    pub(super) fn change(&self, change: Change) -> Result<()> {
        self.sh(&change.script()).map(drop)
    }

    pub(super) fn commit(&self) -> Result<f64> {
        self.sh("git add -A && git commit --quiet --allow-empty --no-gpg-sign --message bench")
    }

    /// Back to the commit before.
    pub(super) fn reset(&self) -> Result<f64> {
        self.sh("git reset --quiet --hard HEAD~1")
    }

    pub(super) fn tar(&self) -> Result<f64> {
        self.sh("tar --create --exclude=./.git --file=../files.tar .")
    }

    /// Unpacks beside the tree, for a moment.
    pub(super) fn untar(&self) -> Result<f64> {
        let took =
            self.sh("mkdir ../again && tar --extract --file=../files.tar --directory=../again")?;
        self.sh("rm -r ../again ../files.tar")?;
        Ok(took)
    }

    /// What the steps before left for the disk to do is no part of the next.
    pub(super) fn settle(&self) -> Result<()> {
        self.sh("sync").map(drop)
    }

    /// One file of the last commit.
    pub(super) fn show(&self, path: &str) -> Result<f64> {
        self.sh(&format!("git show HEAD:{path}"))
    }

    fn sh(&self, script: &str) -> Result<f64> {
        let begun = Instant::now();
        let done = Command::new("sh")
            .args(["-c", script])
            .current_dir(self.tree())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| script.to_owned())?;
        if !done.status.success() {
            bail!("{script}: {}", String::from_utf8_lossy(&done.stderr));
        }
        Ok(milliseconds(begun))
    }
}
