//! Going back to an earlier version, and taking files in from elsewhere: both make a new version, and nothing is lost.

use helmr_domain::{Moment, Refusal, Scope, VersionId, WorkspaceId};

use super::attach::not_active;
use super::end::{cancel_runs, check_idle};
use super::version::{self, NewVersion};
use super::{End, State, Version, Workspace, capture, row};
use crate::db::Tx;
use crate::idempotency::{self, Idempotency, Kept, Origin};
use crate::lease::{self, Leased};
use crate::{Error, Result, Store, deployments, machine};

/// A workspace that is to go back to one of its versions.
#[derive(Clone)]
pub struct Restore {
    pub end: End,
    pub version: VersionId,
    pub message: Option<String>,
    pub idempotency: Option<Idempotency<Restored>>,
}

/// A workspace on its new version.
#[derive(Debug, Clone, PartialEq)]
pub struct Restored {
    pub workspace: Workspace,
    pub version: Version,
}

/// Files for a workspace that has no machine.
#[derive(Clone)]
pub struct Import {
    pub at: Moment,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    pub message: Option<String>,
    pub manifest: String,
    pub size_bytes: u64,
    pub changed_bytes: u64,
    pub idempotency: Option<Idempotency<Restored>>,
}

/// Makes an earlier version the current one again, as a new version. A machine is told to stop; what its processes have
/// written by then is kept as a version beside.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceBusy` while a run in it has not ended, unless forced; `WorkspaceNotActive`,
/// `IdempotencyKeyReused`.
pub async fn restore(store: &Store, input: Restore) -> Result<Kept<Restored>> {
    store
        .write(input, |tx, input| Box::pin(restore_in(tx, input)))
        .await
}

async fn restore_in(tx: &mut Tx, input: &Restore) -> Result<Kept<Restored>> {
    let End {
        at,
        scope,
        workspace,
        ..
    } = input.end;
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let mut leased = active(tx, scope, workspace).await?;
    let target = version::find(tx, &leased, input.version)
        .await?
        .ok_or(Error::NotFound("version"))?;
    check_idle(tx, &input.end).await?;
    cancel_runs(tx, &input.end, "the workspace was restored").await?;
    capture::fail(tx, &leased, "the workspace was restored meanwhile").await?;
    let new = NewVersion {
        id: at.ids().make(VersionId::new),
        kind: "restore",
        message: input.message.as_deref(),
        manifest: &target.manifest,
        size_bytes: target.size_bytes,
        changed_bytes: 0,
    };
    // Before the machine ends: what it leaves is not what the workspace stands on any more.
    machine::supersede(tx, workspace).await?;
    version::insert(tx, &mut leased, &new, at).await?;
    machine::end(tx, workspace, at).await?;
    let restored = restored(tx, scope, &leased, new.id).await?;
    idempotency::keep(tx, scope, origin, restored, at).await
}

/// Makes files that were stored the current version of a workspace that has no machine.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceNotStopped`, `WorkspaceNotActive`, `IdempotencyKeyReused`.
pub async fn import(store: &Store, input: Import) -> Result<Kept<Restored>> {
    store
        .write(input, |tx, input| Box::pin(import_in(tx, input)))
        .await
}

async fn import_in(tx: &mut Tx, input: &Import) -> Result<Kept<Restored>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let mut leased = active(tx, scope, input.workspace).await?;
    check_stopped(&row::get(tx, scope, input.workspace).await?)?;
    let new = NewVersion {
        id: at.ids().make(VersionId::new),
        kind: "manual",
        message: input.message.as_deref(),
        manifest: &input.manifest,
        size_bytes: input.size_bytes,
        changed_bytes: input.changed_bytes,
    };
    version::insert(tx, &mut leased, &new, at).await?;
    let restored = restored(tx, scope, &leased, new.id).await?;
    idempotency::keep(tx, scope, origin, restored, at).await
}

/// Whether files from elsewhere can be taken in.
///
/// # Errors
/// `Refused`: `WorkspaceNotStopped` while it has a machine, `WorkspaceNotActive`.
pub fn check_stopped(workspace: &Workspace) -> Result<()> {
    if workspace.state != State::Active {
        return Err(not_active(workspace));
    }
    match &workspace.machine {
        Some(machine) if machine.ended_at.is_none() => Err(Refusal::WorkspaceNotStopped {
            state: machine.state.clone(),
        }
        .into()),
        Some(_) | None => Ok(()),
    }
}

/// How large a workspace's disk is.
///
/// # Errors
/// `NotFound`.
pub async fn disk_bytes(store: &Store, scope: Scope, id: WorkspaceId) -> Result<u64> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let workspace = row::get(tx, scope, id).await?;
                let no_sandbox = Error::NotFound("sandbox");
                let Some(deployment) = workspace.deployment_id else {
                    return Err(no_sandbox);
                };
                let sandbox = deployments::find_sandbox(tx, deployment, &workspace.sandbox)
                    .await?
                    .ok_or(no_sandbox)?;
                Ok(sandbox.spec.disk_bytes)
            })
        })
        .await
}

/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)`.
async fn active(tx: &mut Tx, scope: Scope, id: WorkspaceId) -> Result<Leased> {
    let workspace = row::get(tx, scope, id).await?;
    if workspace.state != State::Active {
        return Err(not_active(&workspace));
    }
    lease::find(tx, id)
        .await?
        .ok_or(Error::NotFound("workspace"))
}

async fn restored(tx: &mut Tx, scope: Scope, leased: &Leased, id: VersionId) -> Result<Restored> {
    Ok(Restored {
        workspace: row::get(tx, scope, leased.id).await?,
        version: version::find(tx, leased, id)
            .await?
            .ok_or(Error::NotFound("version"))?,
    })
}
