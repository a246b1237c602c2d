//! A real terminal for the command line: tmux, with a screen that can be looked at and keys that can be pressed.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, poll_until};
use tempfile::TempDir;
use tokio::process::Command;

const WITHIN: Duration = Duration::from_secs(60);

/// One window of a tmux server of its own, which ends with it.
pub(crate) struct Screen {
    directory: TempDir,
}

impl Screen {
    /// Opens a window of 100 by 30 with a shell in it, for which `helmr` is signed in.
    pub(crate) async fn open(cli: &Cli) -> Result<Self> {
        let screen = Self {
            directory: tempfile::Builder::new().prefix("helmr-screen-").tempdir()?,
        };
        let helmr = cli.command(&[]);
        let helmr = helmr.as_std();
        let mut command = screen.tmux();
        command.args([
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "30",
        ]);
        for (name, value) in helmr.get_envs() {
            if let Some(value) = value {
                let pair = format!("{}={}", name.to_string_lossy(), value.to_string_lossy());
                command.args(["-e", &pair]);
            }
        }
        let binary = helmr.get_program().to_string_lossy().into_owned();
        command.args(["-e", &format!("HELMR={binary}"), "-e", "PS1=outside> "]);
        command.args(["bash", "--norc", "--noprofile"]);
        run(command).await?;
        screen.await_shown("outside>").await?;
        Ok(screen)
    }

    fn tmux(&self) -> Command {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(self.directory.path().join("socket"))
            .env_remove("TMUX");
        command
    }

    /// Types text as it is.
    pub(crate) async fn type_in(&self, text: &str) -> Result<()> {
        let mut command = self.tmux();
        command.args(["send-keys", "-l", text]);
        run(command).await.map(drop)
    }

    /// Presses keys by their names.
    pub(crate) async fn press(&self, keys: &[&str]) -> Result<()> {
        let mut command = self.tmux();
        command.arg("send-keys").args(keys);
        run(command).await.map(drop)
    }

    /// Types a line.
    pub(crate) async fn enter(&self, text: &str) -> Result<()> {
        self.type_in(text).await?;
        self.press(&["Enter"]).await
    }

    /// Empties the screen, at the prompt of the shell outside.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.enter("clear").await?;
        self.await_screen("an empty screen", |shown| shown.trim() == "outside>")
            .await
            .map(drop)
    }

    pub(crate) async fn resize(&self, cols: u16, rows: u16) -> Result<()> {
        let mut command = self.tmux();
        let (cols, rows) = (cols.to_string(), rows.to_string());
        command.args(["resize-window", "-x", &cols, "-y", &rows]);
        run(command).await.map(drop)
    }

    /// What stands on the screen.
    pub(crate) async fn shown(&self) -> Result<String> {
        let mut command = self.tmux();
        command.args(["capture-pane", "-p"]);
        run(command).await
    }

    /// Waits until something stands on the screen.
    pub(crate) async fn await_shown(&self, text: &str) -> Result<String> {
        self.await_screen(text, |shown| shown.contains(text)).await
    }

    pub(crate) async fn await_screen(
        &self,
        what: &str,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String> {
        poll_until(what, WITHIN, || async {
            let shown = self.shown().await?;
            Ok(if fits(&shown) { Ok(shown) } else { Err(shown) })
        })
        .await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let socket = self.directory.path().join("socket");
        let killed = std::process::Command::new("tmux")
            .arg("-S")
            .arg(socket)
            .arg("kill-server")
            .stderr(Stdio::null())
            .status();
        drop(killed);
    }
}

async fn run(mut command: Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .context("run `script/setup --tests`, which installs tmux")?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
