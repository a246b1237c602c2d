//! An answer, typed and as it came.

use serde::de::DeserializeOwned;

use super::Error;

/// A successful answer.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// The body as the server sent it.
    pub text: String,
    pub body: T,
    /// The server had answered this idempotency key before.
    pub replayed: bool,
}

impl<T: DeserializeOwned> Answer<T> {
    pub(super) fn read(text: String, replayed: bool, operation: &str) -> Result<Self, Error> {
        let body = serde_json::from_str(&text).map_err(|source| Error::Unreadable {
            operation: operation.to_owned(),
            source,
        })?;
        Ok(Self {
            text,
            body,
            replayed,
        })
    }
}
