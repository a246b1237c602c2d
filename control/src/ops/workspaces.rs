//! Workspaces, made as people ask for them, and their machines waited for.

use std::time::Duration;

use helmr_api::error::Code;
use helmr_api::http::value::Span;
use helmr_api::http::workspaces::{Connection, ConnectionAnswer, ConnectionUrls, CreateWorkspace};
use helmr_domain::{MaterializationId, Scope, WorkspaceId, limits};
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::workspaces::{self, Create, Workspace};
use helmr_store::{Error, Hint};
use serde_json::{Value, json};

use super::bounds;
use super::deployments::DEFAULT_SANDBOX;
use crate::http::idempotency::Request;
use crate::http::v1::workspaces::view;
use crate::news::Topic;
use crate::refusal::not_found;
use crate::{ApiError, Control};

/// A hint may come from another process and be lost on the way; then this brings the news.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

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

/// Asks for a workspace's machine and waits until it is live.
///
/// # Errors
/// `workspace_not_live` says what became of it; `limit_exceeded`, `shutting_down`, and what the store refuses.
pub(crate) async fn connect(
    control: &Control,
    scope: Scope,
    id: WorkspaceId,
    timeout: Option<Span>,
) -> Result<ConnectionAnswer, ApiError> {
    let within = bounds::connect_timeout(timeout.map(|span| span.0))?;
    // Before the first look, so that nothing falls between look and wait.
    let subscription = control.news.subscribe(vec![Topic::Of(Hint::Workspace(id))]);
    workspaces::materialize(&control.store, scope, id, control.moment()?).await?;
    let late = tokio::time::sleep(within);
    tokio::pin!(late);
    loop {
        let found = workspaces::get(&control.store, scope, id)
            .await?
            .ok_or_else(|| not_found("workspace"))?;
        match standing(&found) {
            Standing::Live(machine) => return Ok(connection(control, &found, machine)),
            Standing::Over(reason) => return Err(not_live(&found, &reason)),
            Standing::Coming => {}
        }
        tokio::select! {
            () = control.ending.cancelled() => {
                return Err(ApiError::new(Code::ShuttingDown, "the server is shutting down"));
            }
            () = &mut late => {
                let reason = found.placement_reason.clone();
                let reason = reason.unwrap_or_else(|| "it is still being made".to_owned());
                return Err(not_live(&found, &reason));
            }
            () = tokio::time::sleep(LOOK_ANYWAY) => {}
            () = subscription.news() => {}
        }
    }
}

/// How far a machine that was asked for has come.
enum Standing {
    Live(MaterializationId),
    Coming,
    /// Nobody makes another one.
    Over(String),
}

fn standing(workspace: &Workspace) -> Standing {
    let machine = workspace.machine.as_ref();
    if let Some(machine) = machine.filter(|machine| machine.state == "live" && !machine.ending) {
        return Standing::Live(machine.id);
    }
    let failed = machine.filter(|machine| machine.ended_at.is_some());
    match (workspace.machine_wanted_at, failed) {
        (None, Some(machine)) => {
            let reason = machine.failure.clone();
            Standing::Over(reason.unwrap_or_else(|| format!("it is {}", machine.state)))
        }
        (None, None) | (Some(_), _) => Standing::Coming,
    }
}

fn connection(control: &Control, row: &Workspace, machine: MaterializationId) -> ConnectionAnswer {
    let workspace = format!("{}/api/v1/workspaces/{}", control.public_url, row.id);
    ConnectionAnswer {
        connection: Connection {
            workspace_id: row.id,
            materialization_id: machine,
            mount_path: row.mount_path.clone(),
            stays_for: Span(row.auto_stop_after.unwrap_or(limits::AUTO_STOP_AFTER)),
            urls: ConnectionUrls {
                execs: format!("{workspace}/execs"),
                ptys: format!("{workspace}/ptys"),
                files: format!("{workspace}/files"),
                workspace,
            },
        },
        workspace: view::workspace(row),
    }
}

fn not_live(workspace: &Workspace, reason: &str) -> ApiError {
    let state = workspace.machine.as_ref().map(|machine| &machine.state);
    let message = format!("the workspace's machine is not live: {reason}");
    ApiError::new(Code::WorkspaceNotLive, message)
        .with_details(json!({ "materialization_state": state, "reason": reason }))
}

fn no_sandbox(name: Option<&str>) -> ApiError {
    let message = match name {
        Some(name) => format!("the promoted deployment has no sandbox `{name}`"),
        None => "the promoted deployment has no task without a sandbox of its own: name a sandbox"
            .to_owned(),
    };
    ApiError::new(Code::SandboxNotFound, message)
}
