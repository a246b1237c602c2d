//! Where a workspace's files are, and the note that they are about to be written.

use helmr_domain::{MaterializationId, Moment, Scope, VersionId, WorkerId, WorkspaceId};

use super::attach::{not_active, touch};
use super::version::NewVersion;
use super::{State, row};
use crate::db::{Tx, params, sql};
use crate::worker::CapturedVersion;
use crate::{Result, Store, deployments, lease, machine};

/// Where a workspace's files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    pub mount_path: String,
    pub place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// On the worker that has the machine.
    Machine {
        worker: WorkerId,
        machine: MaterializationId,
        /// Its processes are set aside: names that they hold open must stay.
        parked: bool,
        /// Of the current version.
        manifest: Option<String>,
    },
    /// There is no machine: they are the current version.
    Version { id: VersionId, manifest: String },
    /// There never was one: they are what the image holds. `None`: nobody has looked there yet.
    Seed { manifest: Option<String> },
}

sql! {
    FIND_MANIFEST = "SELECT manifest
        FROM versions
        WHERE id = $1";

    FIND_SEED = "SELECT manifest
        FROM seeds
        WHERE environment_id = $1 AND image_digest = $2 AND mount_path = $3";
}

/// Tells where a workspace's files are.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)` if it is deleted.
pub async fn locate(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Files> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let workspace = row::get(tx, scope, id).await?;
                if workspace.state == State::Deleted {
                    return Err(not_active(&workspace));
                }
                locate_in(tx, &workspace).await
            })
        })
        .await
}

/// Tells where a workspace's files are, and notes that somebody is about to change them there: if that worker is lost,
/// they may be newer than the last version.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)` unless it is active.
pub async fn begin_change(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    at: Moment,
) -> Result<Files> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                let workspace = row::get(tx, scope, id).await?;
                if workspace.state != State::Active {
                    return Err(not_active(&workspace));
                }
                touch(tx, id, at).await?;
                machine::touch(tx, id).await?;
                locate_in(tx, &workspace).await
            })
        })
        .await
}

async fn locate_in(tx: &mut Tx, workspace: &super::Workspace) -> Result<Files> {
    let place = if let Some(machine) = machine::current(tx, workspace.id).await? {
        let manifest = match workspace.current_version_id {
            Some(id) => {
                let found = tx.find(&FIND_MANIFEST, params![id]).await?;
                found.map(|mut row| row.take("manifest")).transpose()?
            }
            None => None,
        };
        Place::Machine {
            manifest,
            worker: machine.worker,
            machine: machine.id,
            parked: matches!(machine.state, helmr_domain::machine::State::Parked { .. }),
        }
    } else if let Some(id) = workspace.current_version_id {
        let mut row = tx.one(&FIND_MANIFEST, params![id]).await?;
        Place::Version {
            id,
            manifest: row.take("manifest")?,
        }
    } else {
        Place::Seed {
            manifest: seed(tx, workspace).await?,
        }
    };
    Ok(Files {
        mount_path: workspace.mount_path.clone(),
        place,
    })
}

/// What the image of a workspace that never had a machine holds at its mount path.
async fn seed(tx: &mut Tx, workspace: &super::Workspace) -> Result<Option<String>> {
    let Some(deployment) = workspace.deployment_id else {
        return Ok(None);
    };
    let Some(sandbox) = deployments::find_sandbox(tx, deployment, &workspace.sandbox).await? else {
        return Ok(None);
    };
    let bound = params![
        workspace.scope.environment,
        sandbox.spec.image_digest,
        workspace.mount_path
    ];
    let found = tx.find(&FIND_SEED, bound).await?;
    found.map(|mut row| row.take("manifest")).transpose()
}

/// A workspace's files changed while it has no machine: they are a new version.
#[derive(Debug, Clone)]
pub struct CommitEdit {
    pub at: Moment,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    /// Which the change was made to; `None`: what the image holds.
    pub base: Option<VersionId>,
    pub version: CapturedVersion,
}

/// Makes edited files the current version. `false`: they are elsewhere by now, or another version is; nothing was changed.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)` unless it is active.
pub async fn commit_edit(store: &Store, input: CommitEdit) -> Result<bool> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let workspace = row::get(tx, input.scope, input.workspace).await?;
                if workspace.state != State::Active {
                    return Err(not_active(&workspace));
                }
                if machine::current(tx, input.workspace).await?.is_some()
                    || workspace.current_version_id != input.base
                {
                    return Ok(false);
                }
                let Some(mut leased) = lease::find(tx, input.workspace).await? else {
                    return Ok(false);
                };
                let new = NewVersion::auto(&input.version);
                super::version::insert(tx, &mut leased, &new, input.at).await?;
                Ok(true)
            })
        })
        .await
}
