//! A session comes to a workspace that exists.

use helmr_domain::{Refusal, Scope, WorkspaceId};

use super::{State, Workspace, row};
use crate::Result;
use crate::db::Tx;
use crate::deployments::Sandbox;

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

/// Its state forbids it.
pub(super) fn not_active(workspace: &Workspace) -> crate::Error {
    let state = workspace.state.as_str().to_owned();
    Refusal::WorkspaceNotActive { state }.into()
}
