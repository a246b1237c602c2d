//! Workspaces, made as people ask for them.

use helmr_api::error::Code;
use helmr_api::http::workspaces::CreateWorkspace;
use helmr_domain::Scope;
use helmr_store::Error;
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::workspaces::{self, Create, Workspace};
use serde_json::Value;

use super::bounds;
use super::deployments::DEFAULT_SANDBOX;
use crate::http::idempotency::Request;
use crate::{ApiError, Control};

/// Makes a workspace, or gives the answer that was kept of the same request.
///
/// # Errors
/// What is wrong with the request: see the codes in `docs/errors/`.
pub(crate) async fn create(
    control: &Control,
    scope: Scope,
    body: CreateWorkspace,
    request: Option<Request>,
    render: Render<Workspace>,
) -> Result<Kept<Workspace>, ApiError> {
    bounds::external_id(body.external_id.as_deref())?;
    bounds::tags(&body.tags)?;
    bounds::metadata(&body.metadata)?;
    let auto_stop_after = body.auto_stop_after.map(|span| span.0);
    let input = Create {
        at: control.moment()?,
        scope,
        sandbox: body
            .sandbox
            .clone()
            .unwrap_or_else(|| DEFAULT_SANDBOX.to_owned()),
        external_id: body.external_id,
        metadata: Value::Object(body.metadata),
        tags: body.tags,
        auto_stop_after: auto_stop_after.map(bounds::auto_stop_after).transpose()?,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: render,
        }),
    };
    match workspaces::create(&control.store, input).await {
        Err(Error::NotFound("sandbox")) => Err(no_sandbox(body.sandbox.as_deref())),
        other => Ok(other?),
    }
}

fn no_sandbox(name: Option<&str>) -> ApiError {
    let message = match name {
        Some(name) => format!("the promoted deployment has no sandbox `{name}`"),
        None => "the promoted deployment has no task without a sandbox of its own: name a sandbox"
            .to_owned(),
    };
    ApiError::new(Code::SandboxNotFound, message)
}
