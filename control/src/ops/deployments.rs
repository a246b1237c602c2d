//! Deployments: an index checked, its images resolved, everything recorded in one transaction.

mod project;
mod resolve;
mod sandbox;

use std::sync::Arc;

use helmr_api::error::Code;
use helmr_api::http::deployments::CreateDeployment;
use helmr_api::worker::PROTOCOL;
use helmr_store::blobs::{self, Keyed};
use helmr_store::deployments::{Create, Created};
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::{deployments, idempotency};
use serde_json::{Map, Value, json};

pub(crate) use resolve::DEFAULT_SANDBOX;

use crate::http::idempotency::Request;
use crate::state::Environment;
use crate::{ApiError, Control};

/// The layout of bundles that this build reads.
const BUNDLE_FORMAT: u64 = 1;

/// Makes a deployment of an uploaded bundle.
///
/// # Errors
/// What is wrong with the project, naming file and export: see the codes in `docs/errors/`.
pub(crate) async fn create(
    control: &Control,
    environment: &Environment,
    body: CreateDeployment,
    request: Option<Request>,
    render: Render<Created>,
) -> Result<Kept<Created>, ApiError> {
    let scope = environment.row.scope;
    let at = control.moment()?;
    if let Some(request) = &request
        && let Some(kept) =
            idempotency::find(&control.store, scope, at, &request.key, request.hash).await?
    {
        return Ok(Kept::Replayed {
            answer: kept.answer,
            sealed: kept.sealed,
        });
    }
    check_project(environment, body.index.project.as_deref())?;
    check_formats(&body.provenance)?;
    project::check(&body.index)?;
    let bundle = blobs::find(
        &control.store,
        scope,
        Keyed::Environment,
        &body.bundle_sha256,
    )
    .await?
    .ok_or_else(|| {
        ApiError::new(
            Code::UploadNotFound,
            "the bundle was not uploaded to this environment",
        )
        .with_details(json!({ "sha256": body.bundle_sha256 }))
    })?;
    let resolved = resolve::resolve(control, &body.index).await?;
    let content_hash = resolve::content_hash(&body.index, &body.bundle_sha256, &resolved)?;
    let input = Create {
        at,
        scope,
        content_hash,
        bundle_sha256: bundle.sha256,
        bundle_manifest: bundle.manifest,
        bundle_size_bytes: bundle.size_bytes,
        worker_protocol: PROTOCOL,
        provenance: Value::Object(body.provenance),
        tasks: resolved.tasks,
        sandboxes: resolved.sandboxes,
        streams: resolved.streams,
        promote: body.promote,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: Arc::clone(&render),
        }),
    };
    Ok(deployments::create(&control.store, input).await?)
}

/// A project that names where it belongs is not deployed elsewhere by mistake.
fn check_project(environment: &Environment, named: Option<&str>) -> Result<(), ApiError> {
    let row = &environment.row;
    match named {
        Some(name) if name != row.project_slug && name != row.scope.project.to_string() => {
            Err(ApiError::new(
                Code::ScopeMismatch,
                format!(
                    "helmr.config.ts names the project `{name}`, the API key belongs to `{}`",
                    row.project_slug
                ),
            )
            .with_details(json!({ "field": "project" })))
        }
        Some(_) | None => Ok(()),
    }
}

fn check_formats(provenance: &Map<String, Value>) -> Result<(), ApiError> {
    let number = |name: &str| provenance.get(name).and_then(Value::as_u64);
    if let Some(format) = number("bundle_format").filter(|format| *format != BUNDLE_FORMAT) {
        return Err(ApiError::new(
            Code::DeploymentInvalid,
            format!("the bundle has format {format}, this server reads format {BUNDLE_FORMAT}"),
        ));
    }
    if let Some(protocol) =
        number("worker_protocol").filter(|protocol| *protocol != u64::from(PROTOCOL))
    {
        return Err(ApiError::new(
            Code::ProtocolUnsupported,
            format!("the bundle needs worker protocol {protocol}, this server speaks {PROTOCOL}"),
        ));
    }
    Ok(())
}
