//! The only place that reads the clock.

use helmr_domain::Timestamp;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
