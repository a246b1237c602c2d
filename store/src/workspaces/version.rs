//! Versions of a workspace's files, written down once their bytes are durable.

use helmr_domain::{Event, EventKind, Moment};

use crate::db::{Tx, params, sql};
use crate::events::{self, About};
use crate::lease::Leased;
use crate::worker::CapturedVersion;
use crate::{Result, Subject};

sql! {
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

/// Makes captured files the workspace's current version, once.
pub(crate) async fn record(
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
