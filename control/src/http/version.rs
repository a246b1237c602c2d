//! `Helmr-API-Version`: checked on requests, echoed on answers. Never an input to authorisation.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use helmr_api::error::Code;
use helmr_api::http::{API_VERSION, API_VERSION_HEADER};
use http::HeaderValue;
use serde_json::json;

use crate::ApiError;

/// Every version that is answered, the current one first.
const SUPPORTED: [&str; 1] = [API_VERSION];

/// Refuses versions that this build does not speak; absent means current.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let asked = request.headers().get(API_VERSION_HEADER);
    let supported = asked.is_none_or(|asked| {
        SUPPORTED
            .iter()
            .any(|version| asked.as_bytes() == version.as_bytes())
    });
    let mut response = if supported {
        next.run(request).await
    } else {
        ApiError::new(
            Code::ApiVersionUnsupported,
            format!("this server speaks the API version {API_VERSION} only"),
        )
        .with_details(json!({ "supported": SUPPORTED }))
        .into_response()
    };
    response
        .headers_mut()
        .insert(API_VERSION_HEADER, HeaderValue::from_static(API_VERSION));
    response
}
