//! Where a command's words go: data on standard output, everything else on standard error.

use std::io::{self, Write};

use helmr_api::client::Answer;

use crate::error::{CommandError, Exit};
use crate::style::{Paint, Style};

/// How a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    out: Style,
    err: Style,
}

impl Output {
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self {
            json,
            out: Style::of_stdout(),
            err: Style::of_stderr(),
        }
    }

    /// Whether programs read along: then standard output holds JSON alone.
    #[must_use]
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// The style of what goes to standard output.
    #[must_use]
    pub const fn style(&self) -> Style {
        self.out
    }

    /// Prints an answer: its body as it came, or what `show` makes of it for people.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn answer<T>(
        &self,
        answer: &Answer<T>,
        show: impl FnOnce(&T, Style) -> String,
    ) -> Result<(), CommandError> {
        if self.json {
            self.line(&answer.text)
        } else {
            self.text(&show(&answer.body, self.out))
        }
    }

    /// Prints a line of data.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn line(&self, text: &str) -> Result<(), CommandError> {
        self.bytes(format!("{}\n", text.trim_end_matches('\n')).as_bytes())
    }

    /// Prints text that has its own line ends.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn text(&self, text: &str) -> Result<(), CommandError> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn bytes(&self, bytes: &[u8]) -> Result<(), CommandError> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)
            .and_then(|()| out.flush())
            .map_err(|error| match error.kind() {
                io::ErrorKind::BrokenPipe => CommandError::new(Exit::Closed, "nobody reads"),
                _ => CommandError::failed("write to standard output").because(&error),
            })
    }

    /// Prints bytes on standard error: what a task printed there.
    pub fn error_bytes(&self, bytes: &[u8]) {
        // If nobody can be told, there is nobody to tell that.
        drop(io::stderr().lock().write_all(bytes));
    }

    /// Says something to a person.
    pub fn note(&self, text: &str) {
        self.error_bytes(format!("{text}\n").as_bytes());
    }

    /// Says that something went as wanted.
    pub fn done(&self, text: &str) {
        self.note(&format!("{} {text}", self.err.paint(Paint::Good, "✓")));
    }

    /// Says that something is odd.
    pub fn warn(&self, text: &str) {
        self.note(&format!(
            "{} {text}",
            self.err.paint(Paint::Waiting, "warning:")
        ));
    }

    /// The style of what goes to standard error.
    #[must_use]
    pub const fn note_style(&self) -> Style {
        self.err
    }
}
