//! A session comes to a workspace that exists.

use helmr_domain::{Moment, Refusal, Scope, WorkspaceId};

use super::{State, Workspace, row};
use crate::Result;
use crate::db::{Tx, params, sql};
use crate::deployments::Sandbox;

sql! {
    TOUCH = "UPDATE workspaces
        SET last_activity_at = $2
        WHERE id = $1";
}

/// Finds a workspace that a session of a task with that sandbox may use.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceNotActive`, `WorkspaceIncompatible`.
pub(crate) async fn attach(
    tx: &mut Tx,
    scope: Scope,
    id: WorkspaceId,
    sandbox: &Sandbox,
) -> Result<WorkspaceId> {
    let found = row::get(tx, scope, id).await?;
    match found.state {
        // Starts there wait until someone chooses how to go on.
        State::Active | State::RecoveryRequired => {}
        State::Archived | State::Deleted => return Err(not_active(&found)),
    }
    let differs = if found.mount_path != sandbox.spec.mount_path {
        "mount path"
    } else if found.fingerprint != sandbox.fingerprint {
        "sandbox"
    } else {
        return Ok(id);
    };
    let differs = differs.to_owned();
    Err(Refusal::WorkspaceIncompatible { differs }.into())
}

/// Whether people and programs may work in a workspace.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)`.
pub(crate) async fn check_usable(tx: &mut Tx, scope: Scope, id: WorkspaceId) -> Result<()> {
    let found = row::get(tx, scope, id).await?;
    match found.state {
        // What is asked for there waits until someone chooses how to go on.
        State::Active | State::RecoveryRequired => Ok(()),
        State::Archived | State::Deleted => Err(not_active(&found)),
    }
}

/// Notes that somebody worked in it.
pub(crate) async fn touch(tx: &mut Tx, id: WorkspaceId, at: Moment) -> Result<()> {
    tx.run(&TOUCH, params![id, at.now]).await.map(drop)
}

/// Its state forbids it.
pub(crate) fn not_active(workspace: &Workspace) -> crate::Error {
    let state = workspace.state.as_str().to_owned();
    Refusal::WorkspaceNotActive { state }.into()
}
