//! Why a request did not succeed, told apart by what the caller does next.

use crate::error::{Code, ErrorDetail, Kind};

/// A failure of the client or a refusal of the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{url}` is not an address of a server: {reason}")]
    InvalidUrl { url: String, reason: String },
    #[error("`{url}` would carry the API key unencrypted to another machine")]
    PlainHttp { url: String },
    #[error("the API key holds characters that no key has")]
    InvalidKey,
    #[error("set up the HTTP client")]
    Setup(#[source] reqwest::Error),
    /// Nobody listens, or the name is unknown: the request was not sent.
    #[error("reach {url}")]
    Unreachable {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// The connection ended before the answer was complete: the request may have been carried out.
    #[error("{operation}: the connection was lost")]
    Interrupted {
        operation: String,
        #[source]
        source: reqwest::Error,
    },
    /// A stream ended without saying that all is said: the server stops, or something between cut it.
    #[error("{operation}: the server closed the connection")]
    Closed { operation: String },
    #[error("{operation}: no answer in time")]
    TimedOut { operation: String },
    /// The server said no.
    #[error("{}", detail.message)]
    Refused { status: u16, detail: ErrorDetail },
    /// Something that is not a Helmr server, or stands before one, answered.
    #[error("{operation}: the answer ({status}) is not from a Helmr server")]
    Foreign { operation: String, status: u16 },
    /// The answer is not what this version knows.
    #[error("{operation}: read the answer")]
    Unreadable {
        operation: String,
        #[source]
        source: serde_json::Error,
    },
    /// A body to be sent could not be written as JSON.
    #[error("write the request")]
    Unwritable(#[source] serde_json::Error),
    /// A stream broke the rules of server-sent events.
    #[error("{operation}: {reason}")]
    BrokenStream { operation: String, reason: String },
}

impl Error {
    /// The family of a refusal; `None` if it is none.
    #[must_use]
    pub fn kind(&self) -> Option<Kind> {
        match self {
            // The code says it best; a server of another version may have codes that this one does not know.
            Self::Refused { status, detail } => Code::from_text(&detail.code)
                .map(Code::kind)
                .or_else(|| Kind::of_status(*status)),
            _ => None,
        }
    }

    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { detail, .. } => Some(&detail.code),
            _ => None,
        }
    }

    /// Whether the same request may succeed a moment later without anybody doing anything: the server is starting,
    /// stopping or out of reach.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Closed { .. }
            | Self::TimedOut { .. } => true,
            Self::Foreign { status, .. } => [502, 503, 504].contains(status),
            Self::Refused { .. } => self.kind() == Some(Kind::Unavailable),
            Self::InvalidUrl { .. }
            | Self::PlainHttp { .. }
            | Self::InvalidKey
            | Self::Setup(_)
            | Self::Unreadable { .. }
            | Self::Unwritable(_)
            | Self::BrokenStream { .. } => false,
        }
    }

    pub(super) fn of_sending(operation: &str, url: &str, source: reqwest::Error) -> Self {
        let operation = operation.to_owned();
        // A refused connection and one that never came about are alike: the server has not seen the request.
        if source.is_connect() {
            let url = url.to_owned();
            Self::Unreachable { url, source }
        } else if source.is_timeout() {
            Self::TimedOut { operation }
        } else {
            Self::Interrupted { operation, source }
        }
    }
}
