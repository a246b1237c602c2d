//! Around every request: an id, one log line, and the body of a refusal.
//!
//! Paths are logged as route templates only: some carry secrets.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use helmr_api::http::CLIENT_HEADER;
use helmr_domain::RequestId;
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;

use crate::error::{ApiError, Refused};
use crate::{Control, entropy};

/// Names the request in answers and in the log.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id, catches what panics, writes refusals and logs the outcome.
pub(crate) async fn around(
    State(control): State<Control>,
    request: Request,
    next: Next,
) -> Response {
    // Without randomness the id is poorer, the request is not.
    let id = RequestId::new(control.now(), entropy::bytes().unwrap_or_default()).to_string();
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|path| path.as_str().to_owned());
    let client = request
        .headers()
        .get(CLIENT_HEADER)
        .and_then(|value| value.to_str().ok())
        .map(|client| client.chars().take(64).collect::<String>());
    let span = tracing::info_span!("request", "request.id" = %id);
    let started = Instant::now();

    let response = AssertUnwindSafe(next.run(request).instrument(span.clone()))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| ApiError::internal_text("the handler panicked").into_response());
    let refused = response.extensions().get::<Refused>().cloned();
    let mut response = match &refused {
        Some(Refused(error)) => {
            let (parts, _) = response.into_parts();
            let mut written = (parts.status, Json(error.body(id.clone()))).into_response();
            // Headers that layers inside have set stay, for example those of CORS.
            for (name, value) in &parts.headers {
                if name != http::header::CONTENT_LENGTH {
                    written.headers_mut().insert(name, value.clone());
                }
            }
            written
        }
        None => response,
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }

    let elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    span.in_scope(|| match refused.as_ref().map(|Refused(error)| error) {
        Some(error) if error.cause().is_some() => {
            tracing::error!(%method, route, client, status, elapsed_ms, "error.code" = error.code().as_str(),
                cause = error.cause(), "request failed");
        }
        Some(error) => {
            tracing::debug!(%method, route, client, status, elapsed_ms, "error.code" = error.code().as_str(),
                "request refused");
        }
        None => tracing::debug!(%method, route, client, status, elapsed_ms, "request answered"),
    });
    response
}

/// What no route takes.
pub(crate) async fn no_route(request: Request) -> ApiError {
    // Only the method: the path may hold a secret.
    ApiError::new(
        helmr_api::error::Code::RouteNotFound,
        format!(
            "no route takes {} on this path; /api/v1/openapi.json lists them",
            request.method()
        ),
    )
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use axum::Router;
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Config, Database};

    #[tokio::test]
    async fn a_handler_that_panics_is_an_internal_failure_with_an_id() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let mut config = Config::in_directory(dir.path(), "http://helmr.test".to_owned());
        config.database = Database::InMemory;
        let running = crate::start(config).await?;
        let control = running.control();
        async fn broken() {
            panic!("on purpose");
        }
        let router = Router::new()
            .route("/broken", axum::routing::get(broken))
            .layer(axum::middleware::from_fn_with_state(control, around));
        let answer = router
            .oneshot(Request::get("/broken").body(Body::empty())?)
            .await?;
        assert_eq!(answer.status(), 500);
        let id = answer.headers()[REQUEST_ID].to_str()?.to_owned();
        let body = answer.into_body().collect().await?.to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body)?;
        assert_eq!(body["error"]["code"], "internal");
        assert_eq!(body["error"]["request_id"], id);
        assert!(!body.to_string().contains("purpose"), "{body}");
        Ok(())
    }
}
