//! A container at its barest: a process in namespaces of its own, entered by hand.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::clock::look_again;
use crate::machine::milliseconds;

/// Ends when dropped.
pub(super) struct Namespaces {
    outside: Child,
    inside: String,
}

impl Namespaces {
    pub(super) fn make() -> Result<Self> {
        let mut outside = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork"])
            .args(["--mount-proc", "--kill-child", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()
            .context("start unshare")?;
        let children = format!("/proc/{0}/task/{0}/children", outside.id());
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let found = fs::read_to_string(&children).unwrap_or_default();
            if let Some(inside) = found.split_whitespace().next() {
                let inside = inside.to_owned();
                return Ok(Self { outside, inside });
            }
            if let Some(ended) = outside.try_wait()? {
                bail!("unshare: {ended}");
            }
            ensure!(Instant::now() < end, "unshare starts nothing");
            look_again();
        }
    }

    pub(super) fn exec(&self, command: &[&str]) -> Result<f64> {
        let begun = Instant::now();
        let status = Command::new("nsenter")
            .args(["--target", &self.inside])
            .args(["--mount", "--uts", "--ipc", "--net", "--pid"])
            .args(command)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        ensure!(status.success(), "nsenter {command:?}: {status}");
        Ok(milliseconds(begun))
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _killed = self.outside.kill();
        let _status = self.outside.wait();
    }
}
