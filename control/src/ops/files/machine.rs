//! Files on the worker that has the machine.

use std::time::Duration;

use axum::body::Body;
use helmr_api::error::{Code, ErrorBody};
use helmr_api::worker::files::{Change, FilesRequest, Look, Task};
use helmr_domain::{MaterializationId, WorkerId};
use helmr_files::{Reply, framed, unframed};
use helmr_store::workspaces::{self, Place};

use super::Subject;
use crate::hub::Error;
use crate::{ApiError, refusal};

/// A worker waits so long for its machine to settle, and then says so.
const SILENCE: Duration = Duration::from_secs(90);

pub(super) async fn look(
    subject: &Subject<'_>,
    worker: WorkerId,
    machine: MaterializationId,
    mount: &str,
    look: Look,
) -> Result<Reply, ApiError> {
    let request = FilesRequest {
        materialization_id: machine,
        mount_path: mount.to_owned(),
        task: Task::Look(look),
    };
    let (head, body) = exchange(subject, worker, &request, None).await?;
    Ok(Reply {
        head,
        body: Some(body),
    })
}

pub(super) async fn change(
    subject: &Subject<'_>,
    (worker, machine): (WorkerId, MaterializationId),
    mount: &str,
    change: Change,
    bytes: Option<Body>,
) -> Result<Vec<u8>, ApiError> {
    let request = FilesRequest {
        materialization_id: machine,
        mount_path: mount.to_owned(),
        task: Task::Change(change),
    };
    let (head, _) = exchange(subject, worker, &request, bytes).await?;
    confirm(subject, machine).await?;
    Ok(head)
}

/// Whether the machine whose files were changed is still the workspace's, or ended with all of them. It may have been
/// parked between the note and the change: then it is noted again.
async fn confirm(subject: &Subject<'_>, changed: MaterializationId) -> Result<(), ApiError> {
    let (control, scope) = (subject.control, subject.environment.row.scope);
    let at = control.moment()?;
    let now = workspaces::begin_change(&control.store, scope, subject.workspace, at).await?;
    match now.place {
        Place::Machine { machine, .. } if machine == changed => return Ok(()),
        Place::Machine { .. } | Place::Version { .. } | Place::Seed { .. } => {}
    }
    let workspace = workspaces::get(&control.store, scope, subject.workspace)
        .await?
        .ok_or_else(|| refusal::not_found("workspace"))?;
    let captured = workspace
        .machine
        .is_some_and(|machine| machine.id == changed && machine.state == "stopped");
    if captured {
        return Ok(());
    }
    Err(ApiError::new(
        Code::InvalidState,
        "the machine was lost while its files were changed: look what became of them",
    ))
}

async fn exchange(
    subject: &Subject<'_>,
    worker: WorkerId,
    request: &FilesRequest,
    bytes: Option<Body>,
) -> Result<(Vec<u8>, Body), ApiError> {
    let head = serde_json::to_vec(request).map_err(|error| ApiError::internal(&error))?;
    let path = format!("/v1/files/{}", subject.workspace);
    let hub = &subject.control.hub;
    hub.await_connected(worker).await;
    let answered = hub
        .stream(worker, &path, framed(&head, bytes), SILENCE)
        .await;
    let body = answered.map_err(|error| refused(&error))?;
    unframed(body).await.map_err(|error| lost(&error))
}

fn refused(error: &Error) -> ApiError {
    if let Error::Refused { body, .. } = error
        && let Ok(ErrorBody { error: detail }) = serde_json::from_slice::<ErrorBody>(body)
        && let Some(code) = Code::from_text(&detail.code)
        && code != Code::Internal
    {
        let error = ApiError::new(code, detail.message);
        return match detail.details {
            Some(details) => error.with_details(details),
            None => error,
        };
    }
    match error {
        Error::Cut => ApiError::new(Code::InvalidBody, error.to_string()),
        Error::NotConnected | Error::TimedOut | Error::Transport(_) | Error::Answer(_) => {
            lost(error)
        }
        Error::Refused { .. } | Error::Request(_) => ApiError::internal(error),
    }
}

fn lost(error: &(dyn std::error::Error + '_)) -> ApiError {
    ApiError::unavailable(
        Code::WorkerUnavailable,
        "the worker that has the workspace's files cannot be reached",
        error,
    )
}
