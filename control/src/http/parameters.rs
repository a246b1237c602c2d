//! Path and query parameters, with coded refusals.

use axum::extract::{FromRequestParts, RawPathParams};
use helmr_api::error::Code;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::str::FromStr;

use crate::{ApiError, Control};

/// The one path parameter of a route.
pub(crate) struct Path<T>(pub(crate) T);

/// Two path parameters.
pub(crate) struct PathPair<A, B>(pub(crate) A, pub(crate) B);

/// The query. `project_id` and `environment_id` are taken by the caller's scope and may stand on every route.
pub(crate) struct Query<T>(pub(crate) T);

async fn path_texts(
    parts: &mut Parts,
    control: &Control,
) -> Result<Vec<(String, String)>, ApiError> {
    let params = RawPathParams::from_request_parts(parts, control)
        .await
        .map_err(|_| ApiError::new(Code::InvalidPath, "the path is not percent-encoded UTF-8"))?;
    Ok(params
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn parse<T>((name, text): &(String, String)) -> Result<T, ApiError>
where
    T: FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| {
        ApiError::new(Code::InvalidPath, error.to_string())
            .with_details(json!({ "parameter": name }))
    })
}

fn missing() -> ApiError {
    ApiError::internal_text("a route has fewer path parameters than its handler takes")
}

impl<T> FromRequestParts<Control> for Path<T>
where
    T: FromStr + Send,
    T::Err: std::fmt::Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let texts = path_texts(parts, control).await?;
        Ok(Self(parse(texts.first().ok_or_else(missing)?)?))
    }
}

impl<A, B> FromRequestParts<Control> for PathPair<A, B>
where
    A: FromStr + Send,
    A::Err: std::fmt::Display,
    B: FromStr + Send,
    B::Err: std::fmt::Display,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let texts = path_texts(parts, control).await?;
        let [first, second] = texts.as_slice() else {
            return Err(missing());
        };
        Ok(Self(parse(first)?, parse(second)?))
    }
}

impl<T: DeserializeOwned> FromRequestParts<Control> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        axum::extract::Query::try_from_uri(&parts.uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                ApiError::new(
                    Code::InvalidQuery,
                    format!("the query is invalid: {}", error.body_text()),
                )
            })
    }
}
