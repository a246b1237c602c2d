//! Running other programs: what they print is passed on, and a failure says how to repeat it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::env;
use crate::workspace::Workspace;

/// A program about to be run in the checkout.
#[derive(Debug)]
pub(crate) struct Run {
    command: Command,
    directory: PathBuf,
    variables: Vec<String>,
}

impl Run {
    pub(crate) fn program(workspace: &Workspace, program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(workspace.root()).stdin(Stdio::null());
        Self {
            command,
            directory: workspace.root().to_owned(),
            variables: Vec::new(),
        }
    }

    pub(crate) fn cargo(workspace: &Workspace) -> Self {
        Self::program(workspace, env::cargo())
    }

    /// A program of Node's, for example `npm`, in a folder of the checkout.
    pub(crate) fn node_program(workspace: &Workspace, program: &str, folder: &str) -> Result<Self> {
        workspace.require_node()?;
        let mut run = Self::program(
            workspace,
            workspace.path(".helmr/toolchain/node/bin").join(program),
        );
        run.directory = workspace.path(folder);
        run.command.current_dir(&run.directory);
        run.command.env("PATH", workspace.path_with_node()?);
        Ok(run)
    }

    /// Runs in this folder instead of the checkout's root.
    pub(crate) fn directory(mut self, folder: &Path) -> Self {
        self.directory = folder.to_owned();
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, args: I) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        let value = value.into();
        self.variables
            .push(format!("{name}={}", quoted(&value.to_string_lossy())));
        self.command.env(name, value);
        self
    }

    /// Takes a variable away from the program's environment.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// The program could not be started, or did not end with 0: then the text is the line that repeats it.
    pub(crate) fn run(mut self) -> Result<()> {
        let status = self
            .command
            .status()
            .with_context(|| format!("start {}", self.line()))?;
        if !status.success() {
            bail!("`{}` failed ({status})", self.line());
        }
        Ok(())
    }

    /// Runs to the end and gives what was printed on standard output.
    pub(crate) fn output(mut self) -> Result<String> {
        let output = self
            .command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("start {}", self.line()))?;
        if !output.status.success() {
            bail!("`{}` failed ({})", self.line(), output.status);
        }
        String::from_utf8(output.stdout)
            .with_context(|| format!("read what {} printed", self.line()))
    }

    fn line(&self) -> String {
        let mut words = self.variables.clone();
        words.push(quoted(&self.command.get_program().to_string_lossy()));
        words.extend(
            self.command
                .get_args()
                .map(|word| quoted(&word.to_string_lossy())),
        );
        let line = words.join(" ");
        format!(
            "(cd {} && {line})",
            quoted(&self.directory.to_string_lossy())
        )
    }
}

/// The word as a shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_quoted_where_a_shell_needs_it() {
        assert_eq!(quoted("--profile=guest"), "--profile=guest");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
