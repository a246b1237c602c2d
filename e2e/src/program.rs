//! A TypeScript program that drives a server with `@helmr/sdk`, run by Node as a user would run it.
//!
//! The package is the packed one that the binary carries, unpacked into a `node_modules` of the program's own, so that what
//! a test sees is what a user gets.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Server, repository};

/// How long a program may say nothing before a test gives up on it.
const SILENCE: Duration = Duration::from_secs(90);

/// A running program. Each line that it prints is one JSON document. It ends with this value.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
}

/// What programs may import besides the SDK. The SDK's own dependencies, as an installation of it would bring them, and
/// what drives a browser.
const MODULES: [&str; 2] = ["esbuild", "playwright-core"];

/// Starts `script` in a copy of `project`, a folder of the checkout.
///
/// # Errors
/// If Node or the SDK's package is missing: then with the command that makes them.
pub fn sdk_program(
    project: &str,
    script: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Program> {
    let name = format!("{project}/{script}");
    let parent = repository().join("target/e2e");
    fs::create_dir_all(&parent)?;
    let folder = tempfile::Builder::new()
        .prefix("helmr-e2e-program-")
        .tempdir_in(parent)?;
    let home = folder.path().join("program");
    run(std::process::Command::new("cp")
        .arg("-r")
        .arg(repository().join(project))
        .arg(&home))?;
    let modules = folder.path().join("node_modules");
    unpack_sdk(&modules.join("@helmr/sdk"))?;
    for module in MODULES {
        let installed = repository()
            .join("sdk/typescript/node_modules")
            .join(module);
        std::os::unix::fs::symlink(installed, modules.join(module))?;
    }
    let mut child = Command::new(node()?)
        .arg(home.join(script))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(&home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(folder.path().join("stderr"))?)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {name}"))?;
    let stdout = child.stdout.take().context("no stdout")?;
    Ok(Program {
        name,
        child,
        lines: BufReader::new(stdout).lines(),
        folder,
    })
}

impl Server {
    /// Starts a program of `e2e/programs`, signed in to this server.
    ///
    /// # Errors
    /// As [`sdk_program`].
    pub fn program(&self, script: &str, arguments: &[&str]) -> Result<Program> {
        self.program_of("e2e/programs", script, arguments)
    }

    /// Starts a program of another folder of the checkout, signed in to this server.
    ///
    /// # Errors
    /// As [`sdk_program`].
    pub fn program_of(&self, project: &str, script: &str, arguments: &[&str]) -> Result<Program> {
        let url = self.url();
        let environment = [
            ("HELMR_API_URL", url.as_str()),
            ("HELMR_API_KEY", self.api_key()),
        ];
        sdk_program(project, script, arguments, &environment)
    }
}

impl Program {
    /// The next thing that the program says; nothing when it has closed its output.
    ///
    /// # Errors
    /// If it says nothing for a long time, or something that is not JSON.
    pub async fn says(&mut self) -> Result<Option<Value>> {
        let line = tokio::time::timeout(SILENCE, self.lines.next_line())
            .await
            .with_context(|| format!("{} says nothing: {}", self.name, self.complaints()))??;
        line.map(|line| {
            serde_json::from_str(&line)
                .with_context(|| format!("{} printed no JSON: {line}", self.name))
        })
        .transpose()
    }

    /// Reads on until the program says something that `holds`, and gives that.
    ///
    /// # Errors
    /// As [`Program::says`]; also if it ends before.
    pub async fn says_that(&mut self, holds: impl Fn(&Value) -> bool) -> Result<Value> {
        loop {
            match self.says().await? {
                Some(said) if holds(&said) => return Ok(said),
                Some(_) => {}
                None => bail!("{} ended too soon: {}", self.name, self.complaints()),
            }
        }
    }

    /// Everything else that it says, up to its end.
    ///
    /// # Errors
    /// As [`Program::says`]; also if it does not exit with 0.
    pub async fn finish(mut self) -> Result<Vec<Value>> {
        let mut said = Vec::new();
        while let Some(next) = self.says().await? {
            said.push(next);
        }
        let status = tokio::time::timeout(SILENCE, self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        if !status.success() {
            bail!("{} ended with {status}: {}", self.name, self.complaints());
        }
        Ok(said)
    }

    fn complaints(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

/// A Chromium.
///
/// # Errors
/// Says how to get one.
pub fn chromium() -> Result<PathBuf> {
    let found = std::process::Command::new("which")
        .args(["chromium", "chromium-browser", "google-chrome"])
        .output()?;
    let found = String::from_utf8(found.stdout)?;
    let Some(first) = found.lines().next() else {
        bail!("there is no Chromium in PATH: run `script/setup --tests`");
    };
    Ok(PathBuf::from(first))
}

fn node() -> Result<PathBuf> {
    let node = repository().join(".helmr/toolchain/node/bin/node");
    if !node.is_file() {
        bail!("{} is not there: run `script/setup`", node.display());
    }
    Ok(node)
}

fn unpack_sdk(to: &Path) -> Result<()> {
    let package = repository().join("target/sdk/helmr-sdk.tgz");
    if !package.is_file() {
        bail!(
            "{} is not there: run `cargo xtask build`",
            package.display()
        );
    }
    fs::create_dir_all(to)?;
    run(std::process::Command::new("tar")
        .args(["--extract", "--gzip", "--strip-components=1", "--file"])
        .arg(package)
        .arg("--directory")
        .arg(to))
}

fn run(command: &mut std::process::Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
