//! Workspaces and their versions, looked up.

use helmr_domain::{Scope, VersionId, WorkspaceId};

use super::list::newest_first;
use super::{Filter, Version, Workspace, row};
use crate::db::{Tx, params, sql};
use crate::page::Newest;
use crate::runs::after_all;
use crate::{Page, Result, Store};

macro_rules! select_version {
    () => {
        "SELECT id, workspace_id, parent_id, kind, message, manifest, size_bytes, changed_bytes,
            created_at
        FROM versions
        WHERE workspace_id = $1
            AND organization_id = $2 AND project_id = $3 AND environment_id = $4
        "
    };
}

sql! {
    GET_VERSION = concat!(select_version!(), "AND id = $5");

    LIST_VERSIONS = concat!(select_version!(), "AND id < $5
        ORDER BY id DESC
        LIMIT $6");
}

/// Looks a workspace up, also one that is deleted.
///
/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Option<Workspace>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(row::find(tx, scope, id))
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
    filter: Filter,
    before: Option<WorkspaceId>,
    limit: u32,
) -> Result<Page<Workspace, WorkspaceId>> {
    let newest = Newest {
        scope,
        before,
        limit,
    };
    store
        .read((newest, filter), |tx, (newest, filter)| {
            Box::pin(async move {
                let found = newest_first(tx, newest, filter).await?;
                Ok(Page::cut(found, newest.limit, |workspace| workspace.id))
            })
        })
        .await
}

/// Looks a version of a workspace up.
///
/// # Errors
/// If the database fails.
pub async fn version(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    version: VersionId,
) -> Result<Option<Version>> {
    store
        .read((scope, id, version), |tx, input| {
            let (scope, id, version) = *input;
            Box::pin(version_in(tx, scope, id, version))
        })
        .await
}

pub(super) async fn version_in(
    tx: &mut Tx,
    scope: Scope,
    id: WorkspaceId,
    version: VersionId,
) -> Result<Option<Version>> {
    let bound = params![
        id,
        scope.organization,
        scope.project,
        scope.environment,
        version
    ];
    let found = tx.find(&GET_VERSION, bound).await?;
    found.map(row::read_version).transpose()
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
                    .map(row::read_version)
                    .collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, limit, |version| version.id))
            })
        })
        .await
}
