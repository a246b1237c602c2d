//! Tags of workspaces, kept apart so that workspaces are found by them.

use helmr_domain::{Scope, WorkspaceId};

use crate::db::{Tx, params, sql};
use crate::{Result, tags};

sql! {
    INSERT = "INSERT INTO workspace_tags (
            environment_id, tag, workspace_id, organization_id, project_id
        )
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (environment_id, tag, workspace_id) DO NOTHING";

    DELETE = "DELETE FROM workspace_tags
        WHERE workspace_id = $1";
}

/// Notes the tags of a new workspace.
pub(super) async fn insert(
    tx: &mut Tx,
    scope: Scope,
    workspace: WorkspaceId,
    tags: &[String],
) -> Result<()> {
    tags::insert(tx, &INSERT, scope, workspace, tags).await
}

/// Gives a workspace other tags.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: Scope,
    workspace: WorkspaceId,
    tags: &[String],
) -> Result<()> {
    tx.run(&DELETE, params![workspace]).await?;
    insert(tx, scope, workspace, tags).await
}
