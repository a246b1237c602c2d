//! Colours: only on terminals, never without a word or sign that says the same.

use std::io::IsTerminal;

use owo_colors::OwoColorize as _;

use crate::env;

/// What a piece of text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    Good,
    Bad,
    Busy,
    Waiting,
    Note,
    Faint,
    Strong,
}

/// Whether a stream takes colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    colored: bool,
}

impl Style {
    #[must_use]
    pub const fn plain() -> Self {
        Self { colored: false }
    }

    #[must_use]
    pub fn of_stdout() -> Self {
        Self::of(&std::io::stdout())
    }

    #[must_use]
    pub fn of_stderr() -> Self {
        Self::of(&std::io::stderr())
    }

    fn of(stream: &impl IsTerminal) -> Self {
        Self {
            colored: stream.is_terminal() && env::NO_COLOR.text().is_none(),
        }
    }

    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        if !self.colored || text.is_empty() {
            return text.to_owned();
        }
        match paint {
            Paint::Good => text.green().to_string(),
            Paint::Bad => text.red().to_string(),
            Paint::Busy => text.blue().to_string(),
            Paint::Waiting => text.yellow().to_string(),
            Paint::Note => text.cyan().to_string(),
            Paint::Faint => text.dimmed().to_string(),
            Paint::Strong => text.bold().to_string(),
        }
    }
}

/// The colour of a status word, whatever it is the status of.
#[must_use]
pub fn of_status(status: &str) -> Option<Paint> {
    match status {
        "succeeded" | "completed" | "deployed" | "active" | "open" | "ok" => Some(Paint::Good),
        "failed" | "offline" | "recovery_required" => Some(Paint::Bad),
        "running" | "building" | "preparing" | "live" | "resuming" => Some(Paint::Busy),
        "waiting" | "pending" | "queued" | "parking" | "parked" | "moving" | "draining"
        | "warning" => Some(Paint::Waiting),
        "cancelled" | "expired" | "closed" | "idle" | "skipped" => Some(Paint::Faint),
        _ => None,
    }
}
