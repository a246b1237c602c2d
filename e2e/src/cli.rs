//! The command line, as a user or a script runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Runs `helmr` commands against one server.
#[derive(Debug, Clone)]
pub struct Cli {
    pub(crate) binary: PathBuf,
    pub(crate) api_url: String,
    pub(crate) api_key: String,
    /// Stands in for the home directory, so that no test touches a real profile.
    pub(crate) home: PathBuf,
}

/// What a command left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Cli {
    /// The command with its surroundings, not yet started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.binary);
        command
            .args(arguments)
            .env("HELMR_API_URL", &self.api_url)
            .env("HELMR_API_KEY", &self.api_key)
            .env("HOME", &self.home)
            .env("XDG_CONFIG_HOME", self.home.join(".config"))
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs to the end, whatever the exit code.
    ///
    /// # Errors
    /// If it cannot be started or takes longer than three minutes.
    pub async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let child = self.command(arguments).output();
        let output = tokio::time::timeout(Duration::from_secs(180), child)
            .await
            .with_context(|| format!("helmr {} took longer than 180 s", arguments.join(" ")))??;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs with `--json` and reads the answer.
    ///
    /// # Errors
    /// With everything the command said, unless it exits 0.
    pub async fn json(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        let outcome = self.run(&all).await?;
        if outcome.code != 0 {
            bail!(
                "helmr {} exited {}: {}{}",
                all.join(" "),
                outcome.code,
                outcome.stdout,
                outcome.stderr
            );
        }
        serde_json::from_str(&outcome.stdout).with_context(|| {
            format!(
                "helmr {} printed no JSON: {}",
                all.join(" "),
                outcome.stdout
            )
        })
    }
}
