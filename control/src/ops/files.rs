//! The files of a workspace, wherever they are: on the worker that has its machine, or in its current version.
//!
//! Where that is may change between the look and the work. Whoever has the files says so when he has them no more, and
//! then they are looked for again.

mod machine;
mod version;

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use helmr_api::error::Code;
use helmr_api::worker::files::{Change, Look};
use helmr_domain::{VersionId, WorkspaceId};
use helmr_files::{Refusal, Reply};
use helmr_store::workspaces::{self, Place};
use http_body_util::BodyExt as _;

use crate::state::Environment;
use crate::{ApiError, Control, refusal};

/// A machine that parks, wakes or stops does so within this, or a client tries again.
const SETTLES_WITHIN: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Bodies up to this size are kept until they are written, so that they can be sent to another place.
const KEPT_BYTES: usize = 1 << 20;

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
                worker, machine, ..
            } => machine::look(subject, *worker, *machine, mount, look.clone()).await,
            Place::Version { manifest, .. }
            | Place::Seed {
                manifest: Some(manifest),
            } => version::look(subject, manifest, mount, look.clone()).await,
            Place::Seed { manifest: None } => Err(unseen()),
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
    let mut bytes = Payload::of(body).await?;
    let until = tokio::time::Instant::now() + SETTLES_WITHIN;
    loop {
        let at = control.moment()?;
        let files = workspaces::begin_change(&control.store, scope, subject.workspace, at).await?;
        let mount = &files.mount_path;
        let done = match &files.place {
            Place::Machine { parked: true, .. } if change.needs_live() => Err(asleep()),
            Place::Machine {
                worker, machine, ..
            } => {
                let place = (*worker, *machine);
                machine::change(subject, place, mount, change.clone(), bytes.take()?).await
            }
            Place::Version { .. } | Place::Seed { .. } => Err(unseen()),
        };
        match done {
            Err(error) if error.code() == Code::FilesMoving && bytes.can_repeat() => {
                again(until, error).await?;
            }
            done => return done,
        }
    }
}

fn unseen() -> ApiError {
    ApiError::new(
        Code::FilesMoving,
        "the workspace has no machine and no version yet",
    )
}

fn asleep() -> ApiError {
    ApiError::new(
        Code::FilesMoving,
        "the machine is parked, and this needs it awake",
    )
}

/// Waits a little, unless it has been long enough.
async fn again(until: tokio::time::Instant, error: ApiError) -> Result<(), ApiError> {
    if tokio::time::Instant::now() >= until {
        return Err(error);
    }
    tokio::time::sleep(LOOK_AGAIN).await;
    Ok(())
}

/// The bytes of a write.
enum Payload {
    None,
    /// Short ones can be sent again.
    Kept(Bytes),
    Once(Body),
    Spent,
}

impl Payload {
    async fn of(body: Option<Body>) -> Result<Self, ApiError> {
        let Some(mut body) = body else {
            return Ok(Self::None);
        };
        let mut kept = Vec::new();
        loop {
            let frame = tokio::time::timeout(SETTLES_WITHIN, body.frame())
                .await
                .map_err(|_| ApiError::new(Code::InvalidBody, "no byte came for a minute"))?;
            let Some(frame) = frame else {
                return Ok(Self::Kept(kept.into()));
            };
            let frame = frame.map_err(|_| {
                ApiError::new(Code::InvalidBody, "the bytes ended before they were complete")
            })?;
            if let Ok(data) = frame.into_data() {
                kept.extend_from_slice(&data);
            }
            if kept.len() > KEPT_BYTES {
                let first = futures_util::stream::once(async move { Ok::<_, axum::Error>(Bytes::from(kept)) });
                let rest = body.into_data_stream();
                let all = futures_util::StreamExt::chain(first, rest);
                return Ok(Self::Once(Body::from_stream(all)));
            }
        }
    }

    fn take(&mut self) -> Result<Option<Body>, ApiError> {
        match self {
            Self::None => Ok(None),
            Self::Kept(bytes) => Ok(Some(Body::from(bytes.clone()))),
            Self::Once(_) => match std::mem::replace(self, Self::Spent) {
                Self::Once(body) => Ok(Some(body)),
                Self::None | Self::Kept(_) | Self::Spent => Ok(None),
            },
            Self::Spent => Err(ApiError::internal_text("a body is sent twice")),
        }
    }

    const fn can_repeat(&self) -> bool {
        match self {
            Self::None | Self::Kept(_) | Self::Once(_) => true,
            Self::Spent => false,
        }
    }
}
