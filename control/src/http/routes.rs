//! The URL map.

use axum::extract::State;
use axum::middleware;
use axum::{Json, Router};
use bytes::Bytes;
use helmr_api::http::API_VERSION;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};
use utoipa::openapi::{InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;

use super::{envelope, version};
use crate::Control;

/// Builds everything that is served.
pub(crate) fn router(control: Control) -> Router {
    let (api, document) = api().split_for_parts();
    // Written once; a document that cannot be written would be a bug that its test shows.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    api.route(
        "/api/v1/openapi.json",
        axum::routing::get(move || {
            let document = document.clone();
            async move { ([(CONTENT_TYPE, "application/json")], document) }
        }),
    )
    .layer(middleware::from_fn(version::check))
    .route("/healthz", axum::routing::get(healthz))
    .route("/readyz", axum::routing::get(readyz))
    .fallback(envelope::no_route)
    .method_not_allowed_fallback(envelope::no_route)
    .layer(middleware::from_fn_with_state(
        control.clone(),
        envelope::around,
    ))
    .with_state(control)
}

fn api() -> OpenApiRouter<Control> {
    OpenApiRouter::with_openapi(document())
}

fn document() -> OpenApi {
    let mut license = LicenseBuilder::new().name("Apache-2.0").build();
    license.identifier = Some("Apache-2.0".to_owned());
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Helmr")
                .version(API_VERSION)
                .license(Some(license))
                .build(),
        )
        .build()
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready once the store answers.
async fn readyz(State(control): State<Control>) -> (StatusCode, Json<Value>) {
    if control.ending.is_cancelled() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(json!({ "status": "ending" })),
        );
    }
    (StatusCode::OK, Json(json!({ "status": "ready" })))
}
