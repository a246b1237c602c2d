//! How a command fails: what happened, what to do, and the exit code for scripts.

use std::error::Error as _;
use std::fmt::Write as _;

use helmr_api::client;
use helmr_api::error::Kind;

use crate::hints;
use crate::style::{Paint, Style};

/// The exit codes of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did not work.
    Failed,
    /// The command line is not right.
    Usage,
    /// No key, or not a good enough one.
    Unauthenticated,
    NotFound,
    Conflict,
    TimedOut,
    /// What a command that was run elsewhere ended with.
    OfCommand(u8),
    /// Nobody reads what is printed any more, as after `| head`: not a failure, and nothing to say.
    Closed,
}

impl Exit {
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unauthenticated => 3,
            Self::NotFound => 4,
            Self::Conflict => 5,
            Self::TimedOut => 124,
            Self::OfCommand(code) => code,
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub struct CommandError {
    exit: Exit,
    message: String,
    /// What lies beneath, outermost first.
    causes: Vec<String>,
    hints: Vec<String>,
}

impl CommandError {
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hints: Vec::new(),
        }
    }

    /// It did not work.
    #[must_use]
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line is not right.
    #[must_use]
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Nothing is said: whatever there is to say was said by the command whose end this is.
    #[must_use]
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Adds what to do about it. The most likely help comes first.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds what lies beneath.
    #[must_use]
    pub fn because(mut self, cause: &dyn std::error::Error) -> Self {
        let mut next = Some(cause);
        while let Some(cause) = next {
            self.causes.push(cause.to_string());
            next = cause.source();
        }
        self
    }

    #[must_use]
    pub const fn exit(&self) -> Exit {
        self.exit
    }

    /// The lines for a person.
    #[must_use]
    pub fn render(&self, style: Style) -> String {
        if self.exit == Exit::Closed || self.message.is_empty() {
            return String::new();
        }
        let mut text = format!("{} {}", style.paint(Paint::Bad, "error:"), self.message);
        for cause in &self.causes {
            let _ = write!(text, ": {cause}");
        }
        for hint in &self.hints {
            let _ = write!(text, "\n{} {hint}", style.paint(Paint::Note, "hint:"));
        }
        text.push('\n');
        text
    }
}

impl From<client::Error> for CommandError {
    fn from(error: client::Error) -> Self {
        let exit = match error.kind() {
            Some(Kind::Unauthenticated | Kind::PermissionDenied) => Exit::Unauthenticated,
            Some(Kind::NotFound) => Exit::NotFound,
            Some(Kind::Conflict) => Exit::Conflict,
            Some(Kind::InvalidRequest) if error.code() != Some("api_version_unsupported") => {
                Exit::Usage
            }
            Some(
                Kind::InvalidRequest
                | Kind::Gone
                | Kind::TooLarge
                | Kind::Unprocessable
                | Kind::RateLimited
                | Kind::Internal
                | Kind::Unavailable,
            ) => Exit::Failed,
            None => match error {
                client::Error::InvalidUrl { .. }
                | client::Error::PlainHttp { .. }
                | client::Error::InvalidKey => Exit::Usage,
                _ => Exit::Failed,
            },
        };
        let message = match error.code() {
            Some(code) => format!("{error} ({code})"),
            None => error.to_string(),
        };
        let mut made = Self::new(exit, message);
        if let Some(cause) = error.source() {
            made.causes.push(root(cause).to_string());
        }
        made.hints = hints::of(&error);
        made
    }
}

/// What lies at the bottom. The HTTP library's layers between repeat the address and each other.
fn root<'a>(
    mut error: &'a (dyn std::error::Error + 'static),
) -> &'a (dyn std::error::Error + 'static) {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error
}

#[cfg(test)]
mod tests {
    use helmr_api::error::{Code, ErrorDetail};

    use super::*;

    fn refused(code: Code) -> CommandError {
        CommandError::from(client::Error::Refused {
            status: code.kind().status(),
            detail: ErrorDetail {
                code: code.as_str().to_owned(),
                message: "no".to_owned(),
                details: None,
                request_id: None,
            },
        })
    }

    #[test]
    fn the_exit_code_tells_the_family_of_a_refusal() {
        for (code, exit) in [
            (Code::InvalidQuery, 2),
            (Code::ApiVersionUnsupported, 1),
            (Code::InvalidCredential, 3),
            (Code::PermissionDenied, 3),
            (Code::RunNotFound, 4),
            (Code::SessionRunActive, 5),
            (Code::TokenExpired, 1),
            (Code::PayloadInvalid, 1),
            (Code::WorkerUnavailable, 1),
        ] {
            assert_eq!(refused(code).exit().code(), exit, "{code:?}");
        }
    }

    #[test]
    fn an_error_says_what_happened_and_then_what_to_do() {
        let error = CommandError::failed("read a.json")
            .because(&std::io::Error::other("disk on fire"))
            .hint("put it out");
        assert_eq!(
            error.render(Style::plain()),
            "error: read a.json: disk on fire\nhint: put it out\n"
        );
    }
}
