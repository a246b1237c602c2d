//! The contract's limits on what people and tasks send, each checked in one place.

use helmr_api::error::Code;
use helmr_domain::{CanonicalJson, Duration, limits};
use serde_json::{Map, Value, json};

use crate::ApiError;

const TAGS: usize = 10;
const TAG_CHARACTERS: usize = 128;
pub(crate) const METADATA_BYTES: usize = 256 << 10;
pub(crate) const RECORD_BYTES: usize = 1 << 20;
pub(crate) const PAYLOAD_BYTES: usize = 4 << 20;
pub(crate) const OUTPUT_BYTES: usize = 4 << 20;
const EXTERNAL_ID_CHARACTERS: usize = 256;
const CORRELATION_ID_CHARACTERS: usize = 256;
const RECORD_KEY_BYTES: usize = 512;
const REASON_CHARACTERS: usize = 1_024;
const LONGEST_TOKEN: Duration = Duration::from_secs(365 * 86_400);
const LONGEST_TTL: Duration = Duration::from_secs(30 * 86_400);
const LIST_MOST: u32 = 200;
const LIST_USUAL: u32 = 50;

fn exceeded(path: &str, message: String) -> ApiError {
    ApiError::new(Code::LimitExceeded, format!("{path}: {message}"))
        .with_details(json!({ "path": path }))
}

fn text(path: &str, value: Option<&str>, most: usize) -> Result<(), ApiError> {
    match value {
        Some("") => Err(exceeded(path, "must not be empty".to_owned())),
        Some(value) if value.chars().count() > most => {
            Err(exceeded(path, format!("has more than {most} characters")))
        }
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn external_id(value: Option<&str>) -> Result<(), ApiError> {
    text("external_id", value, EXTERNAL_ID_CHARACTERS)
}

pub(crate) fn correlation_id(value: Option<&str>) -> Result<(), ApiError> {
    text("correlation_id", value, CORRELATION_ID_CHARACTERS)
}

pub(crate) fn record_key(value: Option<&str>) -> Result<(), ApiError> {
    text("idempotency_key", value, RECORD_KEY_BYTES)
}

pub(crate) fn reason(value: Option<&str>) -> Result<(), ApiError> {
    text("reason", value, REASON_CHARACTERS)
}

pub(crate) fn tags(tags: &[String]) -> Result<(), ApiError> {
    if tags.len() > TAGS {
        return Err(exceeded("tags", format!("has more than {TAGS} tags")));
    }
    for (at, tag) in tags.iter().enumerate() {
        text(&format!("tags[{at}]"), Some(tag), TAG_CHARACTERS)?;
    }
    Ok(())
}

pub(crate) fn metadata(metadata: &Map<String, Value>) -> Result<CanonicalJson, ApiError> {
    let text = canonical("metadata", &Value::Object(metadata.clone()))?;
    if text.as_str().len() > METADATA_BYTES {
        return Err(too_large(
            Code::MetadataTooLarge,
            "metadata",
            METADATA_BYTES,
        ));
    }
    Ok(text)
}

/// The data of a record or of a token completion.
pub(crate) fn record(data: &Value) -> Result<CanonicalJson, ApiError> {
    let text = canonical("data", data)?;
    if text.as_str().len() > RECORD_BYTES {
        return Err(too_large(Code::RecordTooLarge, "data", RECORD_BYTES));
    }
    Ok(text)
}

pub(crate) fn payload(payload: &Value) -> Result<CanonicalJson, ApiError> {
    let text = canonical("payload", payload)?;
    if text.as_str().len() > PAYLOAD_BYTES {
        return Err(too_large(
            Code::PayloadTooLarge,
            "the payload",
            PAYLOAD_BYTES,
        ));
    }
    Ok(text)
}

fn canonical(path: &str, value: &Value) -> Result<CanonicalJson, ApiError> {
    CanonicalJson::try_from(value).map_err(|error| {
        ApiError::new(Code::InvalidBody, format!("{path}: {error}"))
            .with_details(json!({ "path": path }))
    })
}

/// The refusal of something over its limit, which it names.
pub(crate) fn too_large(code: Code, what: &str, limit: usize) -> ApiError {
    ApiError::new(
        code,
        format!("{what} is larger than its limit of {}", size(limit)),
    )
    .with_details(json!({ "limit_bytes": limit }))
}

/// A limit as people write it.
fn size(bytes: usize) -> String {
    match (bytes % (1 << 20), bytes % (1 << 10)) {
        (0, _) => format!("{} MiB", bytes >> 20),
        (_, 0) => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

pub(crate) fn max_duration(seconds: Option<u64>) -> Result<Option<Duration>, ApiError> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    let span = Duration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
    if span < limits::MAX_DURATION_SHORTEST || span > limits::MAX_DURATION_LONGEST {
        return Err(ApiError::new(
            Code::MaxDurationOutOfRange,
            "max_duration_seconds must be between 5 and 86400",
        )
        .with_details(json!({ "path": "max_duration_seconds" })));
    }
    Ok(Some(span))
}

pub(crate) fn ttl(ttl: Duration) -> Result<Duration, ApiError> {
    if ttl == Duration::ZERO || ttl > LONGEST_TTL {
        return Err(exceeded(
            "ttl",
            "must be more than nothing and at most 30d".to_owned(),
        ));
    }
    Ok(ttl)
}

pub(crate) fn token_timeout(timeout: Option<Duration>) -> Result<Duration, ApiError> {
    let timeout = timeout.unwrap_or(limits::TOKEN_TIMEOUT);
    if timeout == Duration::ZERO || timeout > LONGEST_TOKEN {
        return Err(exceeded(
            "timeout",
            "must be more than nothing and at most 365d".to_owned(),
        ));
    }
    Ok(timeout)
}

pub(crate) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked {
        None => Ok(LIST_USUAL),
        Some(limit) if (1..=LIST_MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(exceeded(
            "limit",
            format!("must be between 1 and {LIST_MOST}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn limits_hold_at_their_edge() {
        assert!(tags(&vec!["t".repeat(128); 10]).is_ok());
        assert!(tags(&vec!["t".to_owned(); 11]).is_err());
        assert!(tags(&["t".repeat(129)]).is_err() && tags(&[String::new()]).is_err());
        assert!(external_id(Some(&"\u{e9}".repeat(256))).is_ok());
        assert!(external_id(Some(&"x".repeat(257))).is_err());
        assert!(max_duration(Some(5)).is_ok() && max_duration(Some(86_400)).is_ok());
        assert!(max_duration(Some(4)).is_err() && max_duration(Some(86_401)).is_err());
        assert_eq!(token_timeout(None).unwrap(), limits::TOKEN_TIMEOUT);
        assert!(token_timeout(Some(Duration::ZERO)).is_err());
    }

    #[test]
    fn records_are_bounded_by_their_canonical_size() {
        // Two quotes and the text.
        assert!(record(&json!("x".repeat(RECORD_BYTES - 2))).is_ok());
        let error = record(&json!("x".repeat(RECORD_BYTES - 1))).unwrap_err();
        assert_eq!(error.code(), Code::RecordTooLarge);
        assert_eq!(error.details().unwrap()["limit_bytes"], RECORD_BYTES);
        assert!(error.message().ends_with("1 MiB"), "{error}");
    }
}
