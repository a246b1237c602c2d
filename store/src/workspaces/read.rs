//! Workspaces and their versions, looked up.

use helmr_domain::{Scope, VersionId, WorkspaceId};

use super::{Machine, State, Version, Workspace};
use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;
use crate::runs::after_all;
use crate::{Page, Result, Store};

macro_rules! select {
    () => {
        "SELECT s.id, s.organization_id, s.project_id, s.environment_id, s.external_id, s.sandbox,
            s.fingerprint, s.mount_path, s.state, s.current_version_id, s.metadata, s.tags,
            s.auto_stop_after_us, s.last_activity_at, s.size_bytes, s.created_at, s.lease_epoch,
            s.placement_reason, m.id, m.state, m.worker_id, m.driver, c.size_bytes, m.live_at,
            m.parked_at
        FROM workspaces s
        LEFT JOIN materializations m ON m.workspace_id = s.id AND m.ended_at IS NULL
        LEFT JOIN checkpoints c ON c.id = m.checkpoint_id
        "
    };
}

sql! {
    GET = concat!(select!(), "WHERE s.id = $1
            AND s.organization_id = $2 AND s.project_id = $3 AND s.environment_id = $4");

    LIST = concat!(select!(), "WHERE s.organization_id = $1 AND s.project_id = $2
            AND s.environment_id = $3
            AND s.state <> 'deleted'
            AND s.id < $4
        ORDER BY s.id DESC
        LIMIT $5");

    LIST_VERSIONS = "SELECT id, workspace_id, parent_id, kind, message, manifest, size_bytes,
            changed_bytes, created_at
        FROM versions
        WHERE workspace_id = $1
            AND organization_id = $2 AND project_id = $3 AND environment_id = $4
            AND id < $5
        ORDER BY id DESC
        LIMIT $6";
}

fn read(mut row: Row) -> Result<Workspace> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let external_id = row.take("external_id")?;
    let sandbox = row.take("sandbox")?;
    let fingerprint = row.take("fingerprint")?;
    let mount_path = row.take("mount_path")?;
    let state = row.parse("state", State::read)?;
    let current_version_id = row.take("current_version_id")?;
    let metadata = row.take("metadata")?;
    let Json(tags) = row.take("tags")?;
    Ok(Workspace {
        id,
        scope,
        external_id,
        sandbox,
        fingerprint,
        mount_path,
        state,
        current_version_id,
        metadata,
        tags,
        auto_stop_after: row.take("auto_stop_after_us")?,
        last_activity_at: row.take("last_activity_at")?,
        size_bytes: row.take("size_bytes")?,
        created_at: row.take("created_at")?,
        epoch: row.take("lease_epoch")?,
        placement_reason: row.take("placement_reason")?,
        machine: read_machine(row)?,
    })
}

fn read_machine(row: &mut Row) -> Result<Option<Machine>> {
    let id = row.take("machine id")?;
    let state = row.take("machine state")?;
    let worker_id = row.take("machine worker_id")?;
    let driver = row.take("machine driver")?;
    let checkpoint_size_bytes = row.take("checkpoint size_bytes")?;
    let live_at = row.take("machine live_at")?;
    let parked_at = row.take("machine parked_at")?;
    match (id, state, worker_id, driver) {
        (Some(id), Some(state), Some(worker_id), Some(driver)) => Ok(Some(Machine {
            id,
            state,
            worker_id,
            driver,
            checkpoint_size_bytes,
            live_at,
            parked_at,
        })),
        _ => Ok(None),
    }
}

pub(super) async fn get_in(
    tx: &mut Tx,
    scope: Scope,
    id: WorkspaceId,
) -> Result<Option<Workspace>> {
    let bound = params![id, scope.organization, scope.project, scope.environment];
    let found = tx.find(&GET, bound).await?.map(read).transpose()?;
    Ok(found.filter(|workspace| workspace.state != State::Deleted))
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Option<Workspace>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(get_in(tx, scope, id))
        })
        .await
}

/// Lists workspaces, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    before: Option<WorkspaceId>,
    limit: u32,
) -> Result<Page<Workspace, WorkspaceId>> {
    store
        .read((scope, before, limit), |tx, input| {
            let (scope, before, limit) = *input;
            Box::pin(async move {
                let bound = params![
                    scope.organization,
                    scope.project,
                    scope.environment,
                    before.map_or_else(after_all, |id| id.to_string()),
                    u64::from(limit) + 1
                ];
                let found = tx.rows(&LIST, bound).await?;
                let found = found.into_iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, limit, |workspace| workspace.id))
            })
        })
        .await
}

/// Lists versions, newest first.
///
/// # Errors
/// If the database fails.
pub async fn versions(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    before: Option<VersionId>,
    limit: u32,
) -> Result<Page<Version, VersionId>> {
    store
        .read((scope, id, before, limit), |tx, input| {
            let (scope, id, before, limit) = *input;
            Box::pin(async move {
                let bound = params![
                    id,
                    scope.organization,
                    scope.project,
                    scope.environment,
                    before.map_or_else(after_all, |id| id.to_string()),
                    u64::from(limit) + 1
                ];
                let found = tx.rows(&LIST_VERSIONS, bound).await?;
                let found = found
                    .into_iter()
                    .map(read_version)
                    .collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, limit, |version| version.id))
            })
        })
        .await
}

fn read_version(mut row: Row) -> Result<Version> {
    Ok(Version {
        id: row.take("id")?,
        workspace_id: row.take("workspace_id")?,
        parent_id: row.take("parent_id")?,
        kind: row.take("kind")?,
        message: row.take("message")?,
        manifest: row.take("manifest")?,
        size_bytes: row.take("size_bytes")?,
        changed_bytes: row.take("changed_bytes")?,
        created_at: row.take("created_at")?,
    })
}
