//! JSON bodies: bounded, with refusals that name the field.

use std::marker::PhantomData;
use std::time::Duration;

use axum::extract::{FromRequest, Request};
use helmr_api::error::Code;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::caller;
use crate::ops::bounds;
use crate::{ApiError, Control};

const ARRIVES_WITHIN: Duration = Duration::from_secs(60);

/// How large a body may be, and how it is refused beyond.
pub(crate) trait Limit {
    /// Of the whole body.
    const BYTES: usize;
    /// What people are told.
    const STATED: usize;
    const CODE: Code;
    const WHAT: &'static str;
}

/// 4 MiB, where a route says nothing else.
pub(crate) struct Usual;

impl Limit for Usual {
    const BYTES: usize = 4 << 20;
    const STATED: usize = Self::BYTES;
    const CODE: Code = Code::BodyTooLarge;
    const WHAT: &'static str = "the body";
}

/// A JSON body. An absent one counts as `{}`, so that actions without input need none.
pub(crate) struct Json<T, L = Usual> {
    pub(crate) value: T,
    /// As it was sent, for idempotency.
    pub(crate) sent: Value,
    limit: PhantomData<L>,
}

impl<T, L> FromRequest<Control> for Json<T, L>
where
    T: DeserializeOwned,
    L: Limit,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Control) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let collect = Limited::new(body, L::BYTES).collect();
        let collected = tokio::time::timeout(ARRIVES_WITHIN, collect)
            .await
            .map_err(|_| ApiError::new(Code::InvalidJson, "the body took longer than a minute"))?;
        let bytes = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(bounds::too_large(L::CODE, L::WHAT, L::STATED));
            }
            Err(_) => {
                return Err(ApiError::new(
                    Code::InvalidJson,
                    "the body ended before it was complete",
                ));
            }
        };
        if bytes.is_empty() {
            return Self::of(Value::Object(Map::new()));
        }
        let content_type = parts.headers.get(CONTENT_TYPE);
        if content_type.is_some_and(|given| !is_json(given.as_bytes())) {
            return Err(ApiError::new(
                Code::InvalidContentType,
                "send the body as application/json",
            ));
        }
        let mut sent = parse(&bytes)?;
        caller::check_scope_fields(&parts.extensions, &mut sent)?;
        Self::of(sent)
    }
}

impl<T: DeserializeOwned, L> Json<T, L> {
    fn of(sent: Value) -> Result<Self, ApiError> {
        let value = read(&sent)?;
        Ok(Self {
            value,
            sent,
            limit: PhantomData,
        })
    }
}

/// Whether a content type is JSON. Parameters and `+json` suffixes are fine.
pub(crate) fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence == b"application/json" || essence.ends_with(b"+json")
}

/// Parses JSON text.
///
/// # Errors
/// `invalid_json`, with line and column.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes).map_err(|error| {
        ApiError::new(Code::InvalidJson, format!("the body is not JSON: {error}"))
            .with_details(json!({ "line": error.line(), "column": error.column() }))
    })
}

/// Reads `value` as a `T`.
///
/// # Errors
/// `unknown_field` or `invalid_body`, with the path of the field.
pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let code = if message.starts_with("unknown field") {
            Code::UnknownField
        } else {
            Code::InvalidBody
        };
        let at = if path == "." { String::new() } else { path };
        let text = if at.is_empty() {
            message
        } else {
            format!("{at}: {message}")
        };
        ApiError::new(code, text).with_details(json!({ "path": at }))
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[expect(dead_code, reason = "only its shape matters")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[expect(dead_code, reason = "only its shape matters")]
        count: u32,
    }

    fn check(value: &Value, code: Code, path: &str) {
        let error = read::<Outer>(value).err();
        let found = error.as_ref().map(|error| {
            let path = error.details().and_then(|details| details["path"].as_str());
            (error.code(), path.unwrap_or("?"))
        });
        assert_eq!(found, Some((code, path)), "{error:?}");
    }

    #[test]
    fn a_refusal_names_the_field() {
        check(
            &json!({"inner": [{"count": 1}, {"count": "x"}]}),
            Code::InvalidBody,
            "inner[1].count",
        );
        check(
            &json!({"inner": [{"count": 1, "size": 2}]}),
            Code::UnknownField,
            "inner[0].size",
        );
        check(&json!({}), Code::InvalidBody, "");
        check(
            &json!({"inner": [], "outer": 1}),
            Code::UnknownField,
            "outer",
        );
    }

    #[test]
    fn json_may_have_parameters_and_suffixes() {
        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/ld+json",
        ] {
            assert!(is_json(good.as_bytes()), "{good}");
        }
        for bad in ["text/plain", "", "application/jsonp"] {
            assert!(!is_json(bad.as_bytes()), "{bad}");
        }
    }
}
