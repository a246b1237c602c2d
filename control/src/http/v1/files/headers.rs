//! Conditions and ranges, as HTTP says them (RFC 9110).

use helmr_api::error::Code;
use helmr_api::worker::files::{Condition, Span};
use http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, HeaderValue};

use crate::ApiError;

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ApiError> {
    headers
        .get(name)
        .map(|value| value.to_str().map(str::trim).map_err(|_| invalid(name)))
        .transpose()
}

fn invalid(name: &HeaderName) -> ApiError {
    ApiError::new(
        Code::InvalidHeader,
        format!("the header `{name}` is not understood"),
    )
}

/// What the caller wants to be so before a file is changed.
///
/// # Errors
/// `invalid_header`.
pub(super) fn condition(headers: &HeaderMap) -> Result<Condition, ApiError> {
    match (text(headers, &IF_MATCH)?, text(headers, &IF_NONE_MATCH)?) {
        (None, None) => Ok(Condition::None),
        (Some(revision), None) => revision_of(revision)
            .map(Condition::Is)
            .ok_or_else(|| invalid(&IF_MATCH)),
        (None, Some("*")) => Ok(Condition::Absent),
        (_, Some(_)) => Err(invalid(&IF_NONE_MATCH)),
    }
}

/// The revision that the caller has already.
///
/// # Errors
/// `invalid_header`.
pub(super) fn known(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    text(headers, &IF_NONE_MATCH)?
        .map(|text| revision_of(text).ok_or_else(|| invalid(&IF_NONE_MATCH)))
        .transpose()
}

/// One entity tag, with quotes or without.
fn revision_of(text: &str) -> Option<String> {
    let bare = text
        .strip_prefix('"')
        .map_or(Some(text), |rest| rest.strip_suffix('"'))?;
    let good = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then(|| bare.to_owned())
}

/// Writes a revision as an entity tag.
pub(super) fn tag(revision: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("\"{revision}\"")).ok()
}

/// Which bytes the caller wants. One range at a time.
///
/// # Errors
/// `invalid_header`.
pub(super) fn span(headers: &HeaderMap) -> Result<Span, ApiError> {
    let Some(text) = text(headers, &RANGE)? else {
        return Ok(Span::All);
    };
    range(text).ok_or_else(|| invalid(&RANGE))
}

fn range(text: &str) -> Option<Span> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    if first.is_empty() {
        return number(last).map(Span::Last);
    }
    let start = number(first)?;
    if last.is_empty() {
        return Some(Span::From { start, end: None });
    }
    let end = number(last)?.checked_add(1)?;
    (end > start).then_some(Span::From {
        start,
        end: Some(end),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_run_of_bytes() {
        let from = |start, end| Some(Span::From { start, end });
        for (text, span) in [
            ("bytes=0-0", from(0, Some(1))),
            ("bytes=5-", from(5, None)),
            ("bytes=2-9", from(2, Some(10))),
            ("bytes=-7", Some(Span::Last(7))),
            ("bytes=9-2", None),
            ("bytes=0-1,4-5", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=-", None),
            ("lines=1-2", None),
            ("bytes=0-18446744073709551615", None),
        ] {
            assert_eq!(range(text), span, "{text}");
        }
    }

    #[test]
    fn a_condition_is_one_revision_or_absence() {
        let of = |name: &'static str, value: &'static str| {
            let name = HeaderName::from_static(name);
            condition(&HeaderMap::from_iter([(
                name,
                HeaderValue::from_static(value),
            )]))
        };
        assert!(matches!(of("if-match", "\"abc1\""), Ok(Condition::Is(tag)) if tag == "abc1"));
        assert!(matches!(of("if-match", "abc1"), Ok(Condition::Is(_))));
        assert!(matches!(of("if-none-match", "*"), Ok(Condition::Absent)));
        assert!(of("if-match", "*").is_err() && of("if-match", "\"a\", \"b\"").is_err());
        assert!(of("if-none-match", "\"abc1\"").is_err());
    }
}
