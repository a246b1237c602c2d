//! The files of a workspace, wherever they are: on the worker that has its machine, or in its current version.
//!
//! Where that is may change between the look and the work. Whoever has the files says so when he has them no more, and
//! then they are looked for again.

mod machine;
mod payload;
mod version;

use std::time::Duration;

use axum::body::Body;
use helmr_api::error::Code;
use helmr_api::worker::files::{Change, Look};
use helmr_domain::{VersionId, WorkspaceId};
use helmr_files::{Refusal, Reply};
use helmr_store::workspaces::{self, Place};

use self::payload::Payload;
use self::version::Base;
use crate::state::Environment;
use crate::{ApiError, Control, refusal};

/// A machine that parks, wakes or stops does so within this, or a client tries again.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        if let Some(cause) = refusal.cause {
            return Self::internal_text(cause);
        }
        let error = Self::new(refusal.code, refusal.message);
        match refusal.details {
            Some(details) => error.with_details(details),
            None => error,
        }
    }
}

/// Whose files.
pub(crate) struct Subject<'a> {
    pub(crate) control: &'a Control,
    pub(crate) environment: &'a Environment,
    pub(crate) workspace: WorkspaceId,
}

/// Looks at files: those of a version, or as they are now.
///
/// # Errors
/// `workspace_not_found`, `version_not_found`, `worker_unavailable`, `files_moving`, and what is wrong with the files.
pub(crate) async fn look(
    subject: &Subject<'_>,
    version: Option<VersionId>,
    look: Look,
) -> Result<Reply, ApiError> {
    let (control, scope) = (subject.control, subject.environment.row.scope);
    if let Some(version) = version {
        let store = &control.store;
        let workspace = workspaces::get(store, scope, subject.workspace)
            .await?
            .ok_or_else(|| refusal::not_found("workspace"))?;
        let found = workspaces::version(store, scope, subject.workspace, version).await?;
        let found = found.ok_or_else(|| refusal::not_found("version"))?;
        return version::look(subject, &found.manifest, &workspace.mount_path, look).await;
    }
    let until = tokio::time::Instant::now() + SETTLES_WITHIN;
    loop {
        let files = workspaces::locate(&control.store, scope, subject.workspace).await?;
        let mount = &files.mount_path;
        let looked = match &files.place {
            Place::Machine {
                worker,
                machine,
                manifest,
                ..
            } => {
                let looked = machine::look(subject, *worker, *machine, mount, look.clone()).await;
                match (looked, manifest) {
                    // A copy of a machine that was never woken has not even a directory.
                    (Err(error), Some(manifest)) if is_in_version(&error) => {
                        version::look(subject, manifest, mount, look.clone()).await
                    }
                    (looked, _) => looked,
                }
            }
            Place::Version { manifest, .. }
            | Place::Seed {
                manifest: Some(manifest),
            } => version::look(subject, manifest, mount, look.clone()).await,
            Place::Seed { manifest: None } => wake(subject).await,
        };
        match looked {
            Err(error) if error.code() == Code::FilesMoving => again(until, error).await?,
            done => return done,
        }
    }
}

/// Changes files. Gives the answer's JSON.
///
/// # Errors
/// As [`look`], and `workspace_not_active`.
pub(crate) async fn change(
    subject: &Subject<'_>,
    change: Change,
    body: Option<Body>,
) -> Result<Vec<u8>, ApiError> {
    let (control, scope) = (subject.control, subject.environment.row.scope);
    let mut bytes = match (&change, body) {
        // As it comes, to whoever has the files.
        (Change::Upload { .. }, Some(body)) => Payload::Once(body),
        (_, body) => Payload::of(body).await?,
    };
    let until = tokio::time::Instant::now() + SETTLES_WITHIN;
    loop {
        let at = control.moment()?;
        let files = workspaces::begin_change(&control.store, scope, subject.workspace, at).await?;
        let mount = files.mount_path.as_str();
        let base = |id, manifest| Base {
            id,
            manifest,
            mount,
        };
        let done = match &files.place {
            Place::Machine { parked: true, .. } if change.needs_live() => wake(subject).await,
            Place::Machine {
                worker, machine, ..
            } => {
                let place = (*worker, *machine);
                let sent = bytes.send(subject)?;
                match machine::change(subject, place, mount, change.clone(), sent).await {
                    Err(error) if is_in_version(&error) => wake(subject).await,
                    done => done,
                }
            }
            Place::Version { id, manifest } => {
                edit(subject, &base(Some(*id), manifest), &change, &mut bytes).await
            }
            Place::Seed {
                manifest: Some(manifest),
            } => edit(subject, &base(None, manifest), &change, &mut bytes).await,
            Place::Seed { manifest: None } => wake(subject).await,
        };
        match done {
            Err(error) if error.code() == Code::FilesMoving && bytes.can_repeat() => {
                again(until, error).await?;
            }
            done => return done,
        }
    }
}

async fn edit(
    subject: &Subject<'_>,
    base: &Base<'_>,
    change: &Change,
    bytes: &mut Payload,
) -> Result<Vec<u8>, ApiError> {
    if let Change::Upload { path } = change {
        return version::upload(subject, base, path, bytes.take()?).await;
    }
    let kept = bytes.store(subject).await?;
    version::change(subject, base, change.clone(), kept).await
}

/// Whether a worker says that the files are those of the current version, and nowhere else.
fn is_in_version(error: &ApiError) -> bool {
    error.code() == Code::FilesMoving
        && error
            .details()
            .is_some_and(|details| details["in_version"] == true)
}

/// Asks for the machine: it holds names open, or nobody has looked yet what its image holds.
async fn wake<T>(subject: &Subject<'_>) -> Result<T, ApiError> {
    let control = subject.control;
    let scope = subject.environment.row.scope;
    let at = control.moment()?;
    workspaces::wake_for_change(&control.store, scope, subject.workspace, at).await?;
    Err(ApiError::new(
        Code::FilesMoving,
        "the machine is needed for this, and did not come up in time",
    ))
}

/// Waits a little, unless it has been long enough.
async fn again(until: tokio::time::Instant, error: ApiError) -> Result<(), ApiError> {
    if tokio::time::Instant::now() >= until {
        return Err(error);
    }
    tokio::time::sleep(LOOK_AGAIN).await;
    Ok(())
}
