//! Refusals at the edge: the one place where causes become codes and words for people.
//!
//! No text of a database or of the operating system crosses it: causes are logged beside the request's id.

use std::fmt;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use helmr_api::error::{Code, ErrorBody, ErrorDetail};
use http::StatusCode;
use serde_json::Value;

use crate::entropy::NoRandomness;

/// Why a request is refused.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    code: Code,
    message: String,
    details: Option<Value>,
    /// For the log only.
    cause: Option<String>,
}

impl ApiError {
    #[must_use]
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            details: None,
            cause: None,
        }
    }

    #[must_use]
    pub(crate) fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }

    /// Something broke that the caller can do nothing about. The cause goes to the log.
    #[must_use]
    pub(crate) fn internal(cause: &(dyn std::error::Error + '_)) -> Self {
        Self::broken(Code::Internal, "the server failed; its log says why", cause)
    }

    /// Something that is needed cannot be reached now.
    #[must_use]
    pub(crate) fn unavailable(
        code: Code,
        message: &'static str,
        cause: &(dyn std::error::Error + '_),
    ) -> Self {
        Self::broken(code, message, cause)
    }

    /// An internal failure that is no error value.
    #[must_use]
    pub(crate) fn internal_text(cause: impl Into<String>) -> Self {
        Self {
            code: Code::Internal,
            message: "the server failed; its log says why".to_owned(),
            details: None,
            cause: Some(cause.into()),
        }
    }

    fn broken(code: Code, message: &'static str, cause: &(dyn std::error::Error + '_)) -> Self {
        let mut text = cause.to_string();
        let mut next = cause.source();
        while let Some(source) = next {
            text = format!("{text}: {source}");
            next = source.source();
        }
        Self {
            code,
            message: message.to_owned(),
            details: None,
            cause: Some(text),
        }
    }

    #[must_use]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    #[must_use]
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    #[must_use]
    pub(crate) const fn details(&self) -> Option<&Value> {
        self.details.as_ref()
    }

    /// Why, for the log.
    #[must_use]
    pub(crate) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code.kind().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn body(&self, request_id: String) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                code: self.code.as_str().to_owned(),
                message: self.message.clone(),
                details: self.details.clone(),
                request_id: Some(request_id),
            },
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<NoRandomness> for ApiError {
    fn from(cause: NoRandomness) -> Self {
        Self::internal(&cause)
    }
}

/// The refusal of a response, on its way to the layer that knows the request's id and writes the body.
#[derive(Debug, Clone)]
pub(crate) struct Refused(pub(crate) Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(Refused(Arc::new(self)));
        response
    }
}
