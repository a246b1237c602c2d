//! `Idempotency-Key`: which request this is, so that its first answer can be given again.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use helmr_api::error::Code;
use helmr_api::http::{IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_REPLAYED_HEADER};
use helmr_domain::CanonicalJson;
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use super::caller::Access;
use crate::{ApiError, Control};

const LONGEST: usize = 512;

/// The header of a creating request, if it was sent.
pub(crate) struct IdempotencyKey(pub(crate) Option<String>);

impl FromRequestParts<Control> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_KEY_HEADER) else {
            return Ok(Self(None));
        };
        let text = value
            .to_str()
            .ok()
            .filter(|text| (1..=LONGEST).contains(&text.len()))
            .ok_or_else(|| {
                ApiError::new(
                    Code::InvalidHeader,
                    "`Idempotency-Key` must be 1 to 512 visible ASCII characters",
                )
            })?;
        Ok(Self(Some(text.to_owned())))
    }
}

/// A request under its key.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) hash: [u8; 32],
}

impl IdempotencyKey {
    /// The key among those of a public access token, if one is used: its bearer cannot tell which keys others have used,
    /// nor use one up.
    pub(crate) fn of_access(self, access: &Access) -> Self {
        // A line's end cannot stand in a header, so no other key looks like this.
        Self(match (self.0, access.public_token()) {
            (Some(key), Some(token)) => Some(format!("{token}\n{key}")),
            (key, _) => key,
        })
    }

    /// Joins the key, if there is one, to the request that it came with.
    pub(crate) fn of(self, operation: &str, body: &Value) -> Result<Option<Request>, ApiError> {
        self.0
            .map(|key| {
                Ok(Request {
                    hash: request_hash(operation, body)?,
                    key,
                })
            })
            .transpose()
    }
}

/// Names a request by what it does and its canonical body: equal requests have equal hashes.
fn request_hash(operation: &str, body: &Value) -> Result<[u8; 32], ApiError> {
    let body = CanonicalJson::try_from(body)
        .map_err(|error| ApiError::new(Code::InvalidBody, error.to_string()))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(operation.len() as u64).to_le_bytes());
    hasher.update(operation.as_bytes());
    hasher.update(body.as_str().as_bytes());
    Ok(*hasher.finalize().as_bytes())
}

/// The answer to a creation that was kept.
pub(crate) fn replayed(answer: Value) -> Response {
    replayed_as(StatusCode::CREATED, answer)
}

/// As [`replayed`], where the first answer may have had another status.
pub(crate) fn replayed_as(status: StatusCode, answer: Value) -> Response {
    let mut response = (status, Json(answer)).into_response();
    response.headers_mut().insert(
        IDEMPOTENCY_REPLAYED_HEADER,
        HeaderValue::from_static("true"),
    );
    response
}

/// The answer to a creation.
pub(crate) fn created<T: serde::Serialize>(answer: &T) -> Response {
    (StatusCode::CREATED, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_requests_hash_alike_whatever_their_key_order() {
        let hash = |operation, body: Value| request_hash(operation, &body).unwrap();
        let first = hash("start", json!({"a": 1, "b": [true]}));
        assert_eq!(first, hash("start", json!({"b": [true], "a": 1.0})));
        assert_ne!(first, hash("start", json!({"a": 2, "b": [true]})));
        assert_ne!(first, hash("create", json!({"a": 1, "b": [true]})));
    }
}
