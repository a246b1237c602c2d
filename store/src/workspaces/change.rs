//! Workspaces, made, attached and given versions.

use helmr_domain::{Event, EventKind, Moment, Refusal, Scope, WorkspaceId};

use super::{State, Workspace, read};
use crate::db::{Tx, params, sql};
use crate::deployments::Sandbox;
use crate::events::{self, About};
use crate::lease::Leased;
use crate::worker::CapturedVersion;
use crate::{Error, Hint, Result, Store, Subject};

sql! {
    INSERT = "INSERT INTO workspaces (
            id, organization_id, project_id, environment_id, sandbox, fingerprint, mount_path,
            state, metadata, tags, last_activity_at, size_bytes, created_at, lease_state,
            lease_epoch, revision
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, 'active', '{}', '[]', $8, 0, $8, 'released', 0, 0)";

    SET_STATE = "UPDATE workspaces
        SET state = $2
        WHERE id = $1";

    /// A version that was told before stays as it is.
    INSERT_VERSION = "INSERT INTO versions (
            id, organization_id, project_id, environment_id, workspace_id, parent_id, kind,
            manifest, size_bytes, changed_bytes, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, 'auto', $7, $8, $9, $10)
        ON CONFLICT (id) DO NOTHING";

    SET_VERSION = "UPDATE workspaces
        SET current_version_id = $2, size_bytes = $3, last_activity_at = $4
        WHERE id = $1";
}

/// Makes a workspace for a sandbox.
pub(crate) async fn create(
    tx: &mut Tx,
    scope: Scope,
    id: WorkspaceId,
    sandbox: &Sandbox,
    at: Moment,
) -> Result<WorkspaceId> {
    let bound = params![
        id,
        scope.organization,
        scope.project,
        scope.environment,
        sandbox.name,
        sandbox.fingerprint,
        sandbox.spec.mount_path,
        at.now
    ];
    tx.run(&INSERT, bound).await?;
    Ok(id)
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
    let found = read::get_in(tx, scope, id)
        .await?
        .ok_or(Error::NotFound("workspace"))?;
    match found.state {
        // Starts there wait until someone chooses how to go on.
        State::Active | State::RecoveryRequired => {}
        State::Archived | State::Deleted => {
            let state = found.state.as_str().to_owned();
            return Err(Refusal::WorkspaceNotActive { state }.into());
        }
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

/// Goes on from the last version of a workspace that was live on a lost worker.
///
/// # Errors
/// `NotFound`.
pub async fn recover(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    _at: Moment,
) -> Result<Workspace> {
    store
        .write((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let mut found = read::get_in(tx, scope, id)
                    .await?
                    .ok_or(Error::NotFound("workspace"))?;
                if found.state == State::RecoveryRequired {
                    found.state = State::Active;
                    tx.run(&SET_STATE, params![id, State::Active.as_str()])
                        .await?;
                    tx.hint(Hint::Queue);
                }
                Ok(found)
            })
        })
        .await
}

/// Nothing acts for the workspace until someone chooses how to go on.
pub(crate) async fn need_recovery(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    tx.run(&SET_STATE, params![id, State::RecoveryRequired.as_str()])
        .await
        .map(drop)
}

/// Makes captured files the workspace's current version, once.
pub(crate) async fn record_version(
    tx: &mut Tx,
    leased: &mut Leased,
    version: &CapturedVersion,
    at: Moment,
) -> Result<()> {
    let scope = leased.scope;
    let bound = params![
        version.version_id,
        scope.organization,
        scope.project,
        scope.environment,
        leased.id,
        leased.current_version,
        version.manifest,
        version.size_bytes,
        version.changed_bytes,
        at.now
    ];
    if tx.run(&INSERT_VERSION, bound).await? == 0 {
        return Ok(());
    }
    let bound = params![leased.id, version.version_id, version.size_bytes, at.now];
    tx.run(&SET_VERSION, bound).await?;
    leased.current_version = Some(version.version_id);
    let about = About {
        subject: Subject::Workspace(leased.id),
        scope,
        run: None,
        session: None,
        workspace: Some(leased.id),
        attempt: None,
    };
    let event = Event::new(EventKind::WorkspaceVersion)
        .with("version_id", version.version_id.to_string())
        .with("kind", "auto")
        .with("size_bytes", version.size_bytes)
        .with("changed_bytes", version.changed_bytes);
    events::append(tx, about, event, at).await
}
