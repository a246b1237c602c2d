//! A workspace that begins as a copy of another.

use helmr_domain::{Moment, Refusal, Scope, VersionId, WorkerId, WorkspaceId};
use serde_json::Value;

use super::{Version, Workspace, row, tags};
use crate::db::{Json, Tx, params, sql};
use crate::{Error, Result};

sql! {
    COPY = "INSERT INTO workspaces (
            id, organization_id, project_id, environment_id, external_id, sandbox, deployment_id,
            fingerprint, mount_path, state, current_version_id, metadata, tags, auto_stop_after_us,
            last_activity_at, size_bytes, created_at, lease_state, lease_epoch, revision,
            last_worker_id, forked_from
        )
        SELECT $2, organization_id, project_id, environment_id, $3, sandbox, deployment_id,
            fingerprint, mount_path, 'active', $4, $5, $6, auto_stop_after_us, $7, $8, $7,
            'released', 0, 0, $9, id
        FROM workspaces
        WHERE id = $1";

    COPY_VERSION = "INSERT INTO versions (
            id, organization_id, project_id, environment_id, workspace_id, parent_id, kind,
            manifest, size_bytes, changed_bytes, created_at
        )
        SELECT $2, organization_id, project_id, environment_id, $3, id, 'fork', manifest,
            size_bytes, 0, $4
        FROM versions
        WHERE id = $1";

    FIND_VERSION = "SELECT id, workspace_id, parent_id, kind, message, manifest, size_bytes,
            changed_bytes, created_at
        FROM versions
        WHERE id = $1 AND workspace_id = $2";
}

/// What a copy has of its own.
pub(crate) struct CopyOf<'a> {
    pub(crate) id: WorkspaceId,
    pub(crate) scope: Scope,
    pub(crate) source: WorkspaceId,
    pub(crate) external_id: Option<&'a str>,
    pub(crate) metadata: &'a Value,
    pub(crate) tags: &'a [String],
    /// The version that it begins with, and the id and size of its own first one.
    pub(crate) version: Option<CopiedVersion>,
    /// Who has its files at hand.
    pub(crate) worker: Option<WorkerId>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct CopiedVersion {
    pub(crate) of: VersionId,
    pub(crate) id: VersionId,
    pub(crate) size_bytes: u64,
}

/// Writes a copy of a workspace: same sandbox, and a first version with the same manifest, so that all chunks are shared.
///
/// # Errors
/// `Refused(ExternalIdTaken)` if another one got the external id at the same time.
pub(crate) async fn copy(tx: &mut Tx, copy: CopyOf<'_>, at: Moment) -> Result<()> {
    let bound = params![
        copy.source,
        copy.id,
        copy.external_id,
        copy.version.map(|version| version.id),
        copy.metadata,
        Json(copy.tags),
        at.now,
        copy.version.map_or(0, |version| version.size_bytes),
        copy.worker
    ];
    match tx.run(&COPY, bound).await {
        Err(error) if error.is_duplicate() => {
            let workspace_id = None;
            return Err(Refusal::ExternalIdTaken { workspace_id }.into());
        }
        Ok(0) => return Err(Error::NotFound("workspace")),
        other => other?,
    };
    tags::insert(tx, copy.scope, copy.id, copy.tags).await?;
    if let Some(version) = copy.version {
        let bound = params![version.of, version.id, copy.id, at.now];
        tx.run(&COPY_VERSION, bound).await?;
    }
    Ok(())
}

/// Finds a workspace, also one that is deleted.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn find_in(tx: &mut Tx, scope: Scope, id: WorkspaceId) -> Result<Workspace> {
    row::get(tx, scope, id).await
}

/// A version of a workspace that the caller has found in its scope.
///
/// # Errors
/// `NotFound`.
pub(crate) async fn version_in(
    tx: &mut Tx,
    workspace: WorkspaceId,
    id: VersionId,
) -> Result<Version> {
    let found = tx.find(&FIND_VERSION, params![id, workspace]).await?;
    found
        .map(row::read_version)
        .transpose()?
        .ok_or(Error::NotFound("version"))
}
