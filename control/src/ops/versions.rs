//! Versions of workspaces' files: captured when people ask, gone back to.

pub(crate) mod archive;
pub(crate) mod diff;
pub(crate) mod files;

use std::time::Duration;

use helmr_api::error::Code;
use helmr_domain::{VersionId, WorkspaceId};
use helmr_store::idempotency::{Idempotency, Kept};
use helmr_store::workspaces::{self, Awaited, Capture, Found, Version, Workspace};
use helmr_store::{Error, Hint, Subject};
use serde_json::{Value, json};

use super::bounds;
use crate::http::idempotency::Request;
use crate::news::{Subscription, Topic};
use crate::state::Environment;
use crate::{ApiError, Control, refusal};

/// How long a request waits for a worker to capture.
const CAPTURED_WITHIN: Duration = Duration::from_secs(60);
/// A parked machine that is woken while its worker is asked is asked for again, as it is then.
const TRIES: u32 = 5;

/// A version that was asked for.
pub(crate) struct Captured {
    pub(crate) version: Version,
    /// Whether it was asked for before, under the same key.
    pub(crate) again: bool,
}

/// Makes a version of a workspace's files as they are now, and returns when it is durable.
///
/// # Errors
/// `workspace_not_found`, `workspace_not_active`, `workspace_empty`, `worker_unavailable`, `capture_failed`;
/// `capture_unfinished` after a minute: it may still come about, and the same key waits for the same version.
pub(crate) async fn capture(
    control: &Control,
    environment: &Environment,
    workspace: WorkspaceId,
    message: Option<String>,
    request: Option<Request>,
) -> Result<Captured, ApiError> {
    bounds::message(message.as_deref())?;
    let until = tokio::time::Instant::now() + CAPTURED_WITHIN;
    // Before it is asked for, so that nothing falls between asking and waiting.
    let topic = Topic::Of(Hint::Events(Subject::Workspace(workspace)));
    let subscription = control.news.subscribe(vec![topic]);
    let (id, again) = ask(control, environment, workspace, message, request).await?;
    let waited = made(control, environment, (workspace, id), &subscription);
    match tokio::time::timeout_at(until, waited).await {
        Ok(version) => version.map(|version| Captured { version, again }),
        Err(_) => Err(ApiError::new(
            Code::CaptureUnfinished,
            "the version is not made yet; ask for it later, or repeat the request with its `Idempotency-Key`",
        )
        .with_details(json!({ "version_id": id }))),
    }
}

/// Asks, and gives the id of the version to be.
async fn ask(
    control: &Control,
    environment: &Environment,
    workspace: WorkspaceId,
    message: Option<String>,
    request: Option<Request>,
) -> Result<(VersionId, bool), ApiError> {
    let scope = environment.row.scope;
    for _ in 0..TRIES {
        let found = workspaces::get(&control.store, scope, workspace)
            .await?
            .ok_or_else(|| refusal::not_found("workspace"))?;
        let input = Capture {
            at: control.moment()?,
            scope,
            workspace,
            message: message.clone(),
            found: parked_files(control, environment, &found).await?,
            idempotency: request.clone().map(|request| Idempotency {
                key: request.key,
                request_hash: request.hash,
                sealed: None,
                answer: std::sync::Arc::new(|id: &VersionId| json!({ "version": { "id": id } })),
            }),
        };
        match workspaces::capture(&control.store, input).await {
            Ok(Kept::Fresh(id)) => return Ok((id, false)),
            Ok(Kept::Replayed { answer, .. }) => return Ok((kept(&answer)?, true)),
            Err(Error::Stale) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::new(
        Code::CaptureUnfinished,
        "the workspace's machine is being parked and woken; ask again",
    ))
}

fn kept(answer: &Value) -> Result<VersionId, ApiError> {
    answer["version"]["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| ApiError::internal_text("a kept answer names no version"))
}

/// What a parked machine's worker finds in its files. `None` if there is no parked machine.
async fn parked_files(
    control: &Control,
    environment: &Environment,
    workspace: &Workspace,
) -> Result<Option<Found>, ApiError> {
    let parked = workspace
        .machine
        .as_ref()
        .filter(|machine| machine.state == "parked");
    let Some(machine) = parked else {
        return Ok(None);
    };
    let captured = files::ask_worker(control, environment, workspace.id, machine.worker_id).await?;
    Ok(Some(Found {
        epoch: workspace.epoch,
        version: captured
            .filter(|captured| captured.edited)
            .map(|captured| captured.into_version(control))
            .transpose()?,
    }))
}

/// Waits until a version that was asked for exists.
async fn made(
    control: &Control,
    environment: &Environment,
    (workspace, id): (WorkspaceId, VersionId),
    subscription: &Subscription,
) -> Result<Version, ApiError> {
    let scope = environment.row.scope;
    loop {
        match workspaces::asked(&control.store, scope, workspace, id).await? {
            Awaited::Made(version) => return Ok(version),
            Awaited::Failed(reason) => {
                return Err(ApiError::new(
                    Code::CaptureFailed,
                    format!("the version was not made: {reason}"),
                ));
            }
            Awaited::Pending => subscription.news().await,
        }
    }
}
