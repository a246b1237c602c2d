//! The terminal before which one sits.

use std::io::{self, IsTerminal as _};

use rustix::process::{Signal, getpid, kill_process};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::CommandError;

/// Larger than this no PTY may be.
const LARGEST: u16 = 500;

/// Refuses to go on without a terminal.
pub(crate) fn check() -> Result<(), CommandError> {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        return Ok(());
    }
    Err(
        CommandError::usage("standard input and standard output are not a terminal")
            .hint("run a command with `helmr workspace exec WORKSPACE -- COMMAND`")
            .hint("or use a PTY from a program with `helmr pty create, write, output`"),
    )
}

/// Columns and lines, as far as a PTY may have them. `None` without a terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    let bounded = |count: u16| (count > 0).then(|| count.min(LARGEST));
    Some((bounded(size.ws_col)?, bounded(size.ws_row)?))
}

/// A terminal whose keys come as they are, until this is dropped.
pub(crate) struct Raw {
    before: Termios,
}

impl Raw {
    pub(crate) fn enter() -> Result<Self, CommandError> {
        let before = tcgetattr(io::stdin())
            .map_err(|error| CommandError::failed("look at the terminal").because(&error))?;
        let raw = Self { before };
        raw.begin()?;
        Ok(raw)
    }

    fn begin(&self) -> Result<(), CommandError> {
        let mut raw = self.before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)
            .map_err(|error| CommandError::failed("change the terminal").because(&error))
    }

    fn end(&self) {
        // A terminal that is gone needs nothing.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }

    /// Gives the terminal back and stops this program, until it is told to go on.
    pub(crate) fn suspend(&self) -> Result<(), CommandError> {
        self.end();
        let stopped = kill_process(getpid(), Signal::TSTP);
        // Here it goes on.
        self.begin()?;
        stopped.map_err(|error| CommandError::failed("suspend this program").because(&error))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.end();
    }
}
