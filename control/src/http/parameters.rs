//! Path and query parameters, with coded refusals.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use helmr_api::error::Code;
use helmr_domain::InvalidId;
use http::Uri;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::{ApiError, Control};

const PROJECT: &str = "project_id";
const ENVIRONMENT: &str = "environment_id";

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
        let query = without_scope(parts.uri.query().unwrap_or_default());
        let uri = Uri::try_from(format!("/?{query}"))
            .map_err(|_| ApiError::new(Code::InvalidQuery, "the query is not valid"))?;
        axum::extract::Query::try_from_uri(&uri)
            .map(|axum::extract::Query(value)| Self(value))
            .map_err(|error| {
                let cause = std::error::Error::source(&error)
                    .map_or_else(|| error.body_text(), ToString::to_string);
                ApiError::new(Code::InvalidQuery, format!("the query is invalid: {cause}"))
            })
    }
}

/// Reads an id out of a query.
///
/// # Errors
/// `invalid_query`, naming the parameter.
pub(crate) fn id<T: FromStr<Err = InvalidId>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| text.parse())
        .transpose()
        .map_err(|error| ApiError::new(Code::InvalidQuery, format!("{name}: {error}")))
}

fn is_scope(pair: &&str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    name == PROJECT || name == ENVIRONMENT
}

fn without_scope(query: &str) -> String {
    let others: Vec<&str> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !is_scope(pair))
        .collect();
    others.join("&")
}

/// `project_id` and `environment_id` of a query, which every route allows.
#[derive(Default, serde::Deserialize)]
pub(crate) struct ScopeQuery {
    pub(crate) project_id: Option<String>,
    pub(crate) environment_id: Option<String>,
}

/// Reads the scope out of a request's query.
///
/// # Errors
/// `invalid_query`.
pub(crate) fn scope(parts: &Parts) -> Result<ScopeQuery, ApiError> {
    let query = parts.uri.query().unwrap_or_default();
    let pairs: Vec<&str> = query.split('&').filter(is_scope).collect();
    if pairs.is_empty() {
        return Ok(ScopeQuery::default());
    }
    Uri::try_from(format!("/?{}", pairs.join("&")))
        .ok()
        .and_then(|uri| axum::extract::Query::try_from_uri(&uri).ok())
        .map(|axum::extract::Query(scope)| scope)
        .ok_or_else(|| {
            ApiError::new(
                Code::InvalidQuery,
                "`project_id` and `environment_id` may stand once each",
            )
        })
}
