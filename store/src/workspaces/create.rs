//! Workspaces, made: by people, and by sessions that are given none.

use helmr_domain::{DeploymentId, Duration, Moment, Refusal, Scope, WorkspaceId};
use serde_json::Value;

use super::{Create, Workspace, row, tags};
use crate::db::{Json, Tx, params, sql};
use crate::deployments::{self, Sandbox};
use crate::idempotency::{self, Kept, Origin};
use crate::{Error, Result, Store, quotas, tasks};

sql! {
    INSERT = "INSERT INTO workspaces (
            id, organization_id, project_id, environment_id, external_id, sandbox, deployment_id,
            fingerprint, mount_path, state, metadata, tags, auto_stop_after_us, last_activity_at,
            size_bytes, created_at, lease_state, lease_epoch, revision
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'active', $10, $11, $12, $13, 0, $13,
            'released', 0, 0)";
}

/// A workspace for a sandbox, and what people noted about it.
pub(crate) struct New<'a> {
    pub(crate) id: WorkspaceId,
    pub(crate) scope: Scope,
    pub(crate) deployment: DeploymentId,
    pub(crate) sandbox: &'a Sandbox,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) metadata: &'a Value,
    pub(crate) tags: &'a [String],
    pub(crate) auto_stop_after: Option<Duration>,
}

/// Writes a workspace.
///
/// # Errors
/// `Refused`: `QuotaExceeded`; `ExternalIdTaken` if another one got the external id at the same time.
pub(crate) async fn insert(tx: &mut Tx, new: New<'_>, at: Moment) -> Result<WorkspaceId> {
    quotas::check_workspace(tx, new.scope).await?;
    let bound = params![
        new.id,
        new.scope.organization,
        new.scope.project,
        new.scope.environment,
        new.external_id,
        new.sandbox.name,
        new.deployment,
        new.sandbox.fingerprint,
        new.sandbox.spec.mount_path,
        new.metadata,
        Json(new.tags),
        new.auto_stop_after,
        at.now
    ];
    match tx.run(&INSERT, bound).await {
        Err(error) if error.is_duplicate() => {
            let workspace_id = None;
            return Err(Refusal::ExternalIdTaken { workspace_id }.into());
        }
        other => other?,
    };
    tags::insert(tx, new.scope, new.id, new.tags).await?;
    Ok(new.id)
}

/// Makes a workspace from a sandbox of the promoted deployment. It has no machine and no version until something runs
/// in it: its first files are those of the sandbox's image.
///
/// # Errors
/// `NotFound` for the sandbox; `Refused`: `ExternalIdTaken`, `IdempotencyKeyReused`, `QuotaExceeded`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Workspace>> {
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<Kept<Workspace>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let no_sandbox = Error::NotFound("sandbox");
    let Some(deployment) = tasks::promoted(tx, scope).await? else {
        return Err(no_sandbox);
    };
    let sandbox = deployments::find_sandbox(tx, deployment, &input.sandbox)
        .await?
        .ok_or(no_sandbox)?;
    if let Some(external_id) = &input.external_id {
        check_free(tx, scope, external_id).await?;
    }
    let id = at.ids().make(WorkspaceId::new);
    let new = New {
        id,
        scope,
        deployment,
        sandbox: &sandbox,
        external_id: input.external_id.as_deref(),
        metadata: &input.metadata,
        tags: &input.tags,
        auto_stop_after: input.auto_stop_after,
    };
    insert(tx, new, at).await?;
    let made = row::get(tx, scope, id).await?;
    idempotency::keep(tx, scope, origin, made, at).await
}

/// # Errors
/// `Refused(ExternalIdTaken)`.
pub(crate) async fn check_free(tx: &mut Tx, scope: Scope, external_id: &str) -> Result<()> {
    match row::find_external(tx, scope, external_id).await? {
        None => Ok(()),
        workspace_id => Err(Refusal::ExternalIdTaken { workspace_id }.into()),
    }
}
