//! The URL map.

use axum::extract::State;
use axum::{Json, Router, middleware};
use bytes::Bytes;
use helmr_api::error::{ErrorBody, ErrorDetail};
use helmr_api::http::{
    API_VERSION, API_VERSION_HEADER, CLIENT_HEADER, IDEMPOTENCY_KEY_HEADER,
    IDEMPOTENCY_REPLAYED_HEADER,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use tower_http::cors::{Any, CorsLayer};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{envelope, v1, version, worker};
use crate::Control;

const PREFLIGHT_KEPT: Duration = Duration::from_secs(86_400);
const STORE_ANSWERS_WITHIN: Duration = Duration::from_secs(2);

/// Builds everything that is served.
pub(crate) fn router(control: Control) -> Router {
    let (browsers, open) = browsers().split_for_parts();
    let (public, mut document) = OpenApiRouter::with_openapi(document())
        .merge(api())
        .split_for_parts();
    document.merge(open);
    // Its own fallback comes first: preflights are answered where no handler takes `OPTIONS`.
    let browsers = browsers
        .method_not_allowed_fallback(envelope::no_route)
        .layer(cors());
    // Written once; a document that cannot be written would be a bug that its test shows.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    public
        .merge(browsers)
        .route(
            "/api/v1/openapi.json",
            axum::routing::get(move || {
                let document = document.clone();
                async move { ([(CONTENT_TYPE, "application/json")], document) }
            }),
        )
        .layer(middleware::from_fn(version::check))
        .merge(worker::router())
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

/// For programs that hold an API key.
fn api() -> OpenApiRouter<Control> {
    OpenApiRouter::default()
        .routes(routes!(v1::whoami::who_am_i))
        .routes(routes!(
            v1::sessions::read::list_sessions,
            v1::sessions::start::start_session
        ))
        .routes(routes!(
            v1::sessions::read::get_session,
            v1::sessions::update::update_session
        ))
        .routes(routes!(v1::sessions::read::list_session_runs))
        .routes(routes!(v1::sessions::events::list_session_events))
        .routes(routes!(v1::sessions::transcript::list_transcript))
        .routes(routes!(v1::sessions::end::close_session))
        .routes(routes!(v1::sessions::end::cancel_session))
        .routes(routes!(v1::streams::read::list_streams))
        .routes(routes!(
            v1::public_tokens::read::list_public_tokens,
            v1::public_tokens::create::create_public_token
        ))
        .routes(routes!(v1::public_tokens::read::get_public_token))
        .routes(routes!(v1::public_tokens::revoke::revoke_public_token))
        .routes(routes!(v1::runs::read::list_runs))
        .routes(routes!(v1::runs::read::get_run))
        .routes(routes!(v1::runs::cancel::cancel_run))
        .routes(routes!(v1::runs::retry::retry_run))
        .routes(routes!(v1::runs::events::list_run_events))
        .routes(routes!(v1::runs::logs::list_run_logs))
        .routes(routes!(
            v1::deployments::read::list_deployments,
            v1::deployments::create::create_deployment
        ))
        .routes(routes!(v1::deployments::read::get_deployment))
        .routes(routes!(v1::deployments::read::list_deployment_events))
        .routes(routes!(v1::deployments::promote::promote_deployment))
        .routes(routes!(v1::tasks::list_tasks))
        .routes(routes!(v1::tasks::get_task))
        .routes(routes!(v1::sandboxes::list_sandboxes))
        .routes(routes!(v1::sandboxes::get_sandbox))
        .routes(routes!(v1::images::list_images, v1::images::import_image))
        .routes(routes!(
            v1::execs::read::list_execs,
            v1::execs::create::create_exec
        ))
        .routes(routes!(v1::execs::read::get_exec))
        .routes(routes!(v1::execs::output::read_exec_stdout))
        .routes(routes!(v1::execs::output::read_exec_stderr))
        .routes(routes!(v1::execs::stdin::write_exec_stdin))
        .routes(routes!(v1::execs::signal::signal_exec))
        .routes(routes!(
            v1::ptys::read::list_ptys,
            v1::ptys::create::create_pty
        ))
        .routes(routes!(v1::ptys::read::get_pty))
        .routes(routes!(v1::ptys::output::read_pty_output))
        .routes(routes!(v1::ptys::input::write_pty_input))
        .routes(routes!(v1::ptys::resize::resize_pty))
        .routes(routes!(v1::ptys::resize::close_pty))
        .routes(routes!(v1::ptys::attach::attach_pty))
        .routes(routes!(v1::storage::get_storage))
        .routes(routes!(v1::storage::sweep_storage))
        .routes(routes!(
            v1::storage::get_retention,
            v1::storage::update_retention
        ))
        .routes(routes!(
            v1::files::read::list_files,
            v1::files::change::remove_file
        ))
        .routes(routes!(v1::files::read::stat_file))
        .routes(routes!(
            v1::files::read::read_file,
            v1::files::write::write_file
        ))
        .routes(routes!(v1::files::write::append_file))
        .routes(routes!(
            v1::files::archive::download_files,
            v1::files::archive::upload_files
        ))
        .routes(routes!(v1::files::find::glob_files))
        .routes(routes!(v1::files::find::search_files))
        .routes(routes!(v1::files::change::make_directory))
        .routes(routes!(v1::files::change::move_file))
        .routes(routes!(v1::files::change::change_mode))
        .routes(routes!(v1::uploads::find_missing_uploads))
        .routes(routes!(v1::uploads::upload))
        .routes(routes!(v1::workers::list_workers))
        .routes(routes!(v1::quotas::get_quotas, v1::quotas::update_quotas))
        .routes(routes!(
            v1::workspaces::read::list_workspaces,
            v1::workspaces::create::create_workspace
        ))
        .routes(routes!(
            v1::workspaces::read::get_workspace,
            v1::workspaces::update::update_workspace,
            v1::workspaces::end::delete_workspace
        ))
        .routes(routes!(v1::workspaces::end::stop_workspace))
        .routes(routes!(v1::workspaces::end::archive_workspace))
        .routes(routes!(v1::workspaces::end::unarchive_workspace))
        .routes(routes!(v1::workspaces::materialize::materialize_workspace))
        .routes(routes!(v1::workspaces::materialize::connect_workspace))
        .routes(routes!(v1::workspaces::fork::fork_workspace))
        .routes(routes!(v1::workspaces::recover::recover_workspace))
        .routes(routes!(
            v1::versions::read::list_workspace_versions,
            v1::versions::capture::capture_workspace
        ))
        .routes(routes!(v1::versions::read::get_workspace_version))
        .routes(routes!(v1::versions::restore::restore_workspace))
        .routes(routes!(v1::versions::diff::diff_workspace))
        .routes(routes!(v1::versions::diff::diff_workspace_text))
        .routes(routes!(v1::versions::archive::export_workspace_version))
        .routes(routes!(v1::versions::archive::import_workspace_version))
}

/// Also for browsers of any origin: what is asked for is checked against the credential itself.
fn browsers() -> OpenApiRouter<Control> {
    OpenApiRouter::default()
        .routes(routes!(
            v1::tokens::read::list_tokens,
            v1::tokens::create::create_token
        ))
        .routes(routes!(v1::tokens::read::get_token))
        .routes(routes!(v1::tokens::complete::complete_token))
        .routes(routes!(v1::tokens::cancel::cancel_token))
        .routes(routes!(
            v1::tokens::callback::look_at_callback,
            v1::tokens::callback::complete_by_callback
        ))
        .routes(routes!(
            v1::streams::read::list_inputs,
            v1::streams::send::send_input
        ))
        .routes(routes!(v1::streams::read::list_outputs))
}

fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static(IDEMPOTENCY_KEY_HEADER),
            HeaderName::from_static(API_VERSION_HEADER),
            HeaderName::from_static(CLIENT_HEADER),
        ])
        .expose_headers([
            envelope::REQUEST_ID,
            HeaderName::from_static(API_VERSION_HEADER),
            HeaderName::from_static(IDEMPOTENCY_REPLAYED_HEADER),
        ])
        .max_age(PREFLIGHT_KEPT)
}

fn document() -> OpenApi {
    let mut license = LicenseBuilder::new().name("Apache-2.0").build();
    license.identifier = Some("Apache-2.0".to_owned());
    let bearer = SecurityScheme::Http(
        HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "An API key (`hlmr_sk_…`), or, on token and stream routes, a public access token (`hlmr_pat_…`).",
            ))
            .build(),
    );
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Helmr")
                .version(API_VERSION)
                .description(Some("A self-hosted runtime for coding agents."))
                .license(Some(license))
                .build(),
        )
        .components(Some(
            ComponentsBuilder::new()
                .schema_from::<ErrorBody>()
                .schema_from::<ErrorDetail>()
                .security_scheme("bearer", bearer)
                .build(),
        ))
        .security(Some([SecurityRequirement::new(
            "bearer",
            Vec::<String>::new(),
        )]))
        .build()
}

async fn healthz() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}

/// Ready once the store answers.
async fn readyz(State(control): State<Control>) -> (StatusCode, Json<Value>) {
    let ping = tokio::time::timeout(STORE_ANSWERS_WITHIN, control.store.ping());
    let status = if control.ending.is_cancelled() {
        "ending"
    } else if matches!(ping.await, Ok(Ok(()))) {
        return (StatusCode::OK, Json(json!({ "status": "ready" })));
    } else {
        "the store does not answer"
    };
    (
        StatusCode::SERVICE_UNAVAILABLE,
        Json(json!({ "status": status })),
    )
}
