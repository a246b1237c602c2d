//! Forks: workspaces that begin as copies of others.

use std::time::Duration;

use helmr_api::error::Code;
use helmr_api::http::workspaces::{Fork, ForkAnswer, ForkWorkspace, ForkedSession};
use helmr_domain::{Scope, VersionId, WorkspaceId};
use helmr_store::forks::{self, Copied, FromVersion, Made, Request as Asked, State};
use helmr_store::idempotency::{self, Idempotency, Kept, Render, Save};
use helmr_store::workspaces;
use helmr_store::{Error, Hint};
use serde_json::{Value, json};

use super::bounds;
use crate::http::idempotency::Request;
use crate::http::v1::workspaces::view;
use crate::news::Topic;
use crate::refusal::not_found;
use crate::{ApiError, Control};

/// How long a live fork may take: a parked machine may have to wait for room.
const MADE_WITHIN: Duration = Duration::from_secs(60);
/// A hint may come from another process and be lost on the way; then this brings the news.
const LOOK_ANYWAY: Duration = Duration::from_secs(2);

/// A fork, or the answer that was kept of the same request.
pub(crate) enum Answered {
    Fresh(Box<ForkAnswer>),
    Replayed(Value),
}

/// Makes a fork of a workspace.
///
/// # Errors
/// What is wrong with the request, `fork_unavailable`, `fork_failed`: see `docs/errors/`.
pub(crate) async fn fork(
    control: &Control,
    scope: Scope,
    source: WorkspaceId,
    body: ForkWorkspace,
    request: Option<Request>,
) -> Result<Answered, ApiError> {
    bounds::external_id(body.external_id.as_deref())?;
    bounds::tags(&body.tags)?;
    bounds::metadata(&body.metadata)?;
    if !body.live {
        return from_version(control, scope, source, body, request).await;
    }
    if body.version_id.is_some() {
        let message = "version_id: a live fork copies the machine as it stands";
        return Err(ApiError::new(Code::InvalidBody, message));
    }
    live(control, scope, source, body, request).await
}

async fn from_version(
    control: &Control,
    scope: Scope,
    source: WorkspaceId,
    body: ForkWorkspace,
    request: Option<Request>,
) -> Result<Answered, ApiError> {
    let render: Render<Made> = std::sync::Arc::new(move |made| json!(of_version(source, made)));
    let input = FromVersion {
        at: control.moment()?,
        scope,
        source,
        version: body.version_id,
        external_id: body.external_id,
        metadata: Value::Object(body.metadata),
        tags: body.tags,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: render,
        }),
    };
    Ok(match forks::from_version(&control.store, input).await? {
        Kept::Replayed { answer, .. } => Answered::Replayed(answer),
        Kept::Fresh(made) => Answered::Fresh(Box::new(of_version(source, &made))),
    })
}

fn of_version(source: WorkspaceId, made: &Made) -> ForkAnswer {
    ForkAnswer {
        workspace: view::workspace(&made.workspace),
        fork: Fork {
            live: false,
            from_workspace_id: source,
            from_version_id: made.version,
            memory_copied: false,
            secrets_copied: Vec::new(),
            sessions: Vec::new(),
        },
    }
}

async fn live(
    control: &Control,
    scope: Scope,
    source: WorkspaceId,
    body: ForkWorkspace,
    request: Option<Request>,
) -> Result<Answered, ApiError> {
    let (store, at) = (&control.store, control.moment()?);
    if let Some(request) = &request {
        let kept = idempotency::find(store, scope, at, &request.key, request.hash).await?;
        if let Some(kept) = kept {
            return Ok(Answered::Replayed(kept.answer));
        }
    }
    // Before it is asked for, so that nothing falls between that and the wait.
    let subscription = control
        .news
        .subscribe(vec![Topic::Of(Hint::Workspace(source))]);
    let asked = Asked {
        at,
        scope,
        source,
        external_id: body.external_id,
        metadata: Value::Object(body.metadata),
        tags: body.tags,
        key: request
            .as_ref()
            .map(|request| (request.key.clone(), request.hash)),
    };
    let fork = forks::request(store, asked).await?;
    let late = tokio::time::sleep(MADE_WITHIN);
    tokio::pin!(late);
    loop {
        let found = forks::get(store, scope, fork.workspace_id)
            .await?
            .ok_or_else(|| not_found("workspace"))?;
        match found.state {
            State::Done => break,
            State::Failed { reason } => return Err(failed(&reason)),
            State::Requested => {}
        }
        tokio::select! {
            () = control.ending.cancelled() => {
                return Err(ApiError::new(Code::ShuttingDown, "the server is shutting down"));
            }
            () = &mut late => {
                let reason = "it was not made within a minute";
                let (id, at) = (fork.workspace_id, control.moment()?);
                match forks::give_up(store, scope, id, reason, at).await?.state {
                    State::Done => break,
                    State::Requested | State::Failed { .. } => return Err(failed(reason)),
                }
            }
            () = tokio::time::sleep(LOOK_ANYWAY) => {}
            () = subscription.news() => {}
        }
    }
    let answer = of_machine(control, scope, source, fork.workspace_id).await?;
    if let Some(request) = request {
        let save = Save {
            at: control.moment()?,
            scope,
            key: request.key,
            request_hash: request.hash,
            answer: json!(answer),
            sealed: None,
        };
        idempotency::save(store, save).await?;
    }
    Ok(Answered::Fresh(Box::new(answer)))
}

fn failed(reason: &str) -> ApiError {
    ApiError::new(
        Code::ForkFailed,
        format!("the machine was not forked: {reason}"),
    )
}

/// What a live fork began with.
async fn of_machine(
    control: &Control,
    scope: Scope,
    source: WorkspaceId,
    id: WorkspaceId,
) -> Result<ForkAnswer, ApiError> {
    let store = &control.store;
    let made = workspaces::get(store, scope, id)
        .await?
        .ok_or_else(|| not_found("workspace"))?;
    let copied = forks::copied_sessions(store, scope, id).await?;
    let mut secrets: Vec<String> = copied
        .iter()
        .flat_map(|copied| copied.secrets.iter().cloned())
        .collect();
    secrets.sort();
    secrets.dedup();
    Ok(ForkAnswer {
        fork: Fork {
            live: true,
            from_workspace_id: source,
            from_version_id: parent(control, scope, id, made.current_version_id).await?,
            memory_copied: true,
            secrets_copied: secrets,
            sessions: copied.iter().map(session).collect(),
        },
        workspace: view::workspace(&made),
    })
}

/// The version of the original that the first one of the fork is a copy of.
async fn parent(
    control: &Control,
    scope: Scope,
    id: WorkspaceId,
    current: Option<VersionId>,
) -> Result<Option<VersionId>, Error> {
    let Some(current) = current else {
        return Ok(None);
    };
    let found = workspaces::version(&control.store, scope, id, current).await?;
    Ok(found.and_then(|version| version.parent_id))
}

fn session(copied: &Copied) -> ForkedSession {
    ForkedSession {
        from_session_id: copied.from.session,
        session_id: copied.to.session,
        from_run_id: copied.from.run,
        run_id: copied.to.run,
    }
}
