//! Calls of `runsc`, each with a deadline.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::Error;

/// The program and the directory of its state, which is ours alone.
#[derive(Debug, Clone)]
pub(super) struct Runsc {
    program: PathBuf,
    root: PathBuf,
}

/// Where a call tells why it failed.
#[derive(Debug, Clone, Copy)]
enum Report<'a> {
    Stderr,
    /// Calls that make a sandbox hand their own descriptors on to it, so they must have none that lead anywhere.
    Log(Bundle<'a>),
}

/// What a sandbox is made from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bundle<'a> {
    pub(super) container: &'a str,
    pub(super) directory: &'a Path,
    /// Medium of the root's overlay.
    pub(super) overlay: &'a str,
}

impl Bundle<'_> {
    fn log(&self) -> PathBuf {
        self.directory.join("runsc.log")
    }
}

impl Runsc {
    pub(super) fn new(program: PathBuf, root: PathBuf) -> Self {
        Self { program, root }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The version line without its label, for example `20260905.0-160fafc42237`.
    pub(super) async fn version(&self, deadline: Duration) -> Result<String, Error> {
        let output = self
            .output(
                "version",
                "",
                deadline,
                Command::new(&self.program)
                    .arg("--version")
                    .stdout(Stdio::piped()),
            )
            .await?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("runsc version "));
        version.map(str::to_owned).ok_or_else(|| Error::Incapable {
            reason: format!("{} does not say its version", self.program.display()),
        })
    }

    /// Calls `operation` on `container` and gives what it printed.
    pub(super) async fn call(
        &self,
        operation: &'static str,
        arguments: &[&OsStr],
        container: &str,
        deadline: Duration,
    ) -> Result<Vec<u8>, Error> {
        self.run(operation, arguments, container, (deadline, Report::Stderr))
            .await
    }

    /// Makes a sandbox by `operation` (`run` or `restore`) from the bundle at `bundle`, whose changes to the root go to
    /// `overlay`. The sandbox outlives the call and this process.
    pub(super) async fn launch(
        &self,
        operation: &'static str,
        arguments: &[&OsStr],
        bundle: Bundle<'_>,
        deadline: Duration,
    ) -> Result<(), Error> {
        let mut all = vec![
            OsStr::new("-detach"),
            OsStr::new("-bundle"),
            bundle.directory.as_os_str(),
        ];
        all.extend(arguments);
        self.run(
            operation,
            &all,
            bundle.container,
            (deadline, Report::Log(bundle)),
        )
        .await
        .map(drop)
    }

    async fn run(
        &self,
        operation: &'static str,
        arguments: &[&OsStr],
        container: &str,
        (deadline, report): (Duration, Report<'_>),
    ) -> Result<Vec<u8>, Error> {
        let mut command = Command::new(&self.program);
        command
            .arg(flag("--root=", &self.root))
            // A checkpoint may have been made where the root image lay elsewhere.
            .args([
                "--platform=systrap",
                "--network=none",
                "--host-uds=open",
                "--restore-spec-validation=warning",
            ])
            .args(["--log-format=json"])
            // What is typed at the worker's terminal is not meant for machines.
            .process_group(0)
            .stdin(Stdio::null());
        match report {
            Report::Stderr => command.stdout(Stdio::piped()).stderr(Stdio::piped()),
            Report::Log(bundle) => command
                .arg(flag("--log=", &bundle.log()))
                .arg(format!("--overlay2=root:{}", bundle.overlay))
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        };
        // The container comes last: processes are recognised by it.
        command.arg(operation).args(arguments).arg(container);
        let output = self
            .output(operation, container, deadline, &mut command)
            .await?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let told = match report {
            Report::Stderr => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Report::Log(bundle) => last_message(&fs::read(bundle.log()).unwrap_or_default()),
        };
        Err(Error::Refused {
            operation,
            container: container.to_owned(),
            status: output.status.to_string(),
            message: told,
        })
    }

    /// Runs a client to its end. One that takes too long is killed; what it asked for may happen all the same.
    async fn output(
        &self,
        operation: &'static str,
        container: &str,
        deadline: Duration,
        command: &mut Command,
    ) -> Result<Output, Error> {
        let spawned = command.kill_on_drop(true).spawn();
        let client = spawned.map_err(|source| Error::Spawn {
            program: self.program.clone(),
            source,
        })?;
        match timeout(deadline, client.wait_with_output()).await {
            Ok(output) => output.map_err(|source| Error::Spawn {
                program: self.program.clone(),
                source,
            }),
            Err(_) => Err(Error::DeadlinePassed {
                operation,
                container: container.to_owned(),
                deadline,
            }),
        }
    }
}

fn flag(name: &str, value: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push(value);
    flag
}

/// The last message of a log of JSON values, which `runsc` writes without separators.
fn last_message(log: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Entry {
        msg: String,
    }
    let entries = serde_json::Deserializer::from_slice(log).into_iter::<Entry>();
    entries
        .map_while(Result::ok)
        .last()
        .map_or_else(|| "it said nothing".to_owned(), |entry| entry.msg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_message_of_a_log_is_the_reason() {
        let log = br#"{"msg":"first","level":"warning","time":"t"}{"msg":"running container: no","level":"error"}"#;
        assert_eq!(last_message(log), "running container: no");
        assert_eq!(last_message(b""), "it said nothing");
        assert_eq!(last_message(b"{\"msg\":\"whole\"}{\"msg\":\"to"), "whole");
    }
}
