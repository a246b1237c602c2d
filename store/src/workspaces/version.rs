//! Versions of a workspace's files, written down once their bytes are durable.

use helmr_domain::{Event, EventKind, Moment, VersionId};

use super::Version;
use super::row::read_version;
use crate::db::{Tx, params, sql};
use crate::events::{self, About};
use crate::lease::Leased;
use crate::machine::MachineRow;
use crate::worker::CapturedVersion;
use crate::{Result, Subject};

sql! {
    /// A version that was told before stays as it is.
    INSERT_VERSION = "INSERT INTO versions (
            id, organization_id, project_id, environment_id, workspace_id, parent_id, kind,
            message, manifest, size_bytes, changed_bytes, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        ON CONFLICT (id) DO NOTHING";

    SET_VERSION = "UPDATE workspaces
        SET current_version_id = $2, size_bytes = $3, last_activity_at = $4
        WHERE id = $1";

    FIND_VERSION = "SELECT id, workspace_id, parent_id, kind, message, manifest, size_bytes,
            changed_bytes, created_at
        FROM versions
        WHERE id = $1 AND workspace_id = $2";
}

/// A version to write down.
pub(crate) struct NewVersion<'a> {
    pub(crate) id: VersionId,
    /// As in the table.
    pub(crate) kind: &'static str,
    pub(crate) message: Option<&'a str>,
    pub(crate) manifest: &'a str,
    pub(crate) size_bytes: u64,
    pub(crate) changed_bytes: u64,
}

impl<'a> NewVersion<'a> {
    /// Of files that were captured or changed without anybody asking for a version.
    pub(crate) fn auto(captured: &'a CapturedVersion) -> Self {
        Self {
            id: captured.version_id,
            kind: "auto",
            message: None,
            manifest: &captured.manifest,
            size_bytes: captured.size_bytes,
            changed_bytes: captured.changed_bytes,
        }
    }
}

/// Makes captured files the workspace's current version, once. Those of a machine from which the workspace has gone away
/// are kept beside.
pub(crate) async fn record(
    tx: &mut Tx,
    leased: &mut Leased,
    machine: &MachineRow,
    captured: &CapturedVersion,
    at: Moment,
) -> Result<()> {
    let new = NewVersion::auto(captured);
    if machine.superseded {
        return insert_beside(tx, leased, machine.base_version, &new, at).await;
    }
    insert(tx, leased, &new, at).await
}

/// Writes a version down and makes it the current one, once.
pub(super) async fn insert(
    tx: &mut Tx,
    leased: &mut Leased,
    new: &NewVersion<'_>,
    at: Moment,
) -> Result<()> {
    if !write(tx, leased, leased.current_version, new, at).await? {
        return Ok(());
    }
    let bound = params![leased.id, new.id, new.size_bytes, at.now];
    tx.run(&SET_VERSION, bound).await?;
    leased.current_version = Some(new.id);
    tell(tx, leased, new, at).await
}

async fn insert_beside(
    tx: &mut Tx,
    leased: &Leased,
    parent: Option<VersionId>,
    new: &NewVersion<'_>,
    at: Moment,
) -> Result<()> {
    if write(tx, leased, parent, new, at).await? {
        tell(tx, leased, new, at).await?;
    }
    Ok(())
}

async fn write(
    tx: &mut Tx,
    leased: &Leased,
    parent: Option<VersionId>,
    new: &NewVersion<'_>,
    at: Moment,
) -> Result<bool> {
    let scope = leased.scope;
    let bound = params![
        new.id,
        scope.organization,
        scope.project,
        scope.environment,
        leased.id,
        parent,
        new.kind,
        new.message,
        new.manifest,
        new.size_bytes,
        new.changed_bytes,
        at.now
    ];
    Ok(tx.run(&INSERT_VERSION, bound).await? > 0)
}

async fn tell(tx: &mut Tx, leased: &Leased, new: &NewVersion<'_>, at: Moment) -> Result<()> {
    let about = About {
        subject: Subject::Workspace(leased.id),
        scope: leased.scope,
        run: None,
        session: None,
        workspace: Some(leased.id),
        attempt: None,
    };
    let event = Event::new(EventKind::WorkspaceVersion)
        .with("version_id", new.id.to_string())
        .with("kind", new.kind)
        .with("size_bytes", new.size_bytes)
        .with("changed_bytes", new.changed_bytes);
    events::append(tx, about, event, at).await
}

/// A version of the leased workspace.
pub(super) async fn find(tx: &mut Tx, leased: &Leased, id: VersionId) -> Result<Option<Version>> {
    let found = tx.find(&FIND_VERSION, params![id, leased.id]).await?;
    found.map(read_version).transpose()
}

/// The version on which the workspace stands.
pub(super) async fn current(tx: &mut Tx, leased: &Leased) -> Result<Option<Version>> {
    match leased.current_version {
        Some(id) => find(tx, leased, id).await,
        None => Ok(None),
    }
}
