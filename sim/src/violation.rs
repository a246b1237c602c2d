//! What a schedule may find.

use std::fmt;

/// An invariant that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The invariant, in words: what mutants are reported by.
    pub invariant: &'static str,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.invariant, self.detail)
    }
}

pub(crate) type Checked<T = ()> = Result<T, Violation>;

/// Fails the step unless the condition holds.
macro_rules! hold {
    ($condition:expr, $invariant:literal, $($detail:tt)+) => {
        if !$condition {
            return Err($crate::violation::Violation {
                invariant: $invariant,
                detail: format!($($detail)+),
            });
        }
    };
}
pub(crate) use hold;

/// The store failed in a way that no schedule excuses.
pub(crate) fn broken(error: &helmr_store::Error) -> Violation {
    let mut detail = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        detail.push_str(": ");
        detail.push_str(&cause.to_string());
        source = cause.source();
    }
    Violation {
        invariant: "no operation fails for the store's own reasons",
        detail,
    }
}
