//! What lies on a worker and may go, and what it has of machines that were lost with it.

use helmr_domain::{
    EnvironmentId, Event, EventKind, MaterializationId, Moment, Scope, VersionId, WorkerId,
    WorkspaceId,
};

use super::CapturedVersion;
use crate::db::{Tx, params, sql};
use crate::events::{self, About};
use crate::{Error, Hint, Result, Store, Subject, lease};

sql! {
    /// In a deleted one a parked machine may still have runs that are told to stop.
    IS_DELETED = "SELECT 1
        FROM workspaces w
        WHERE w.id = $1 AND w.state = 'deleted'
            AND NOT EXISTS (
                SELECT 1
                FROM materializations m
                WHERE m.workspace_id = w.id AND m.ended_at IS NULL
            )";

    IS_OVER = "SELECT 1
        FROM materializations
        WHERE id = $1 AND ended_at IS NOT NULL";

    /// A workspace whose machine was lost with a worker.
    LOST_WITH = "SELECT w.organization_id, w.project_id, w.environment_id, w.state
        FROM workspaces w
        WHERE w.id = $1 AND w.state <> 'deleted'
            AND EXISTS (
                SELECT 1
                FROM materializations m
                WHERE m.workspace_id = w.id AND m.worker_id = $2 AND m.state = 'lost'
            )";

    IS_LEASED_TO = "SELECT 1
        FROM workspaces
        WHERE id = $1 AND lease_state = 'held' AND lease_worker_id = $2";

    HAS_VERSION = "SELECT 1
        FROM versions
        WHERE id = $1 AND workspace_id = $2";

    INSERT_BESIDE = "INSERT INTO versions (
            id, organization_id, project_id, environment_id, workspace_id, parent_id, kind, message,
            manifest, size_bytes, changed_bytes, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, 'auto', $7, $8, $9, $10, $11)
        ON CONFLICT (id) DO NOTHING";

    /// Nobody chose to go on without these files.
    GO_ON_WITH = "UPDATE workspaces
        SET state = 'active', current_version_id = $2, size_bytes = $3
        WHERE id = $1 AND state = 'recovery_required'";
}

/// What such a version says of itself.
const MESSAGE: &str = "files of a machine that was lost";

/// What a worker has that nothing on it uses.
#[derive(Debug, Clone)]
pub struct Holdings {
    pub worker_id: WorkerId,
    /// With whether the files may be newer than every version.
    pub workspaces: Vec<(WorkspaceId, bool)>,
    pub machines: Vec<MaterializationId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dispensable {
    pub deleted: Vec<WorkspaceId>,
    pub over: Vec<MaterializationId>,
    /// Files to be kept as a version beside, with whose key they are sealed.
    pub keep_beside: Vec<(WorkspaceId, EnvironmentId)>,
}

/// Says what of a worker's holdings may go, and what is to be kept of it first.
///
/// # Errors
/// If the database fails.
pub async fn dispensable(store: &Store, holdings: Holdings) -> Result<Dispensable> {
    store
        .read(holdings, |tx, holdings| {
            Box::pin(dispensable_in(tx, holdings))
        })
        .await
}

async fn dispensable_in(tx: &mut Tx, holdings: &Holdings) -> Result<Dispensable> {
    let mut found = Dispensable::default();
    for (id, newer) in &holdings.workspaces {
        if tx.find(&IS_DELETED, params![*id]).await?.is_some() {
            found.deleted.push(*id);
            continue;
        }
        let worker = holdings.worker_id;
        // What is leased to it is about to be used, and looked at then.
        if !newer
            || tx
                .find(&IS_LEASED_TO, params![*id, worker])
                .await?
                .is_some()
        {
            continue;
        }
        if let Some(mut row) = tx.find(&LOST_WITH, params![*id, worker]).await? {
            found
                .keep_beside
                .push((*id, lease::scope(&mut row)?.environment));
        }
    }
    for id in &holdings.machines {
        if tx.find(&IS_OVER, params![*id]).await?.is_some() {
            found.over.push(*id);
        }
    }
    Ok(found)
}

/// Files of a machine that was lost with a worker.
#[derive(Debug, Clone)]
pub struct KeptBeside {
    pub at: Moment,
    pub worker_id: WorkerId,
    pub workspace_id: WorkspaceId,
    /// What they were made from.
    pub parent: Option<VersionId>,
    pub version: CapturedVersion,
}

/// Keeps files of a lost machine as a version. A workspace that waits for its worker goes on with them; in every other one
/// they stand beside, and nothing else changes.
///
/// # Errors
/// `Stale` if no machine of the workspace was lost with the worker.
pub async fn keep_beside(store: &Store, input: KeptBeside) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(keep_in(tx, input)))
        .await
}

async fn keep_in(tx: &mut Tx, input: &KeptBeside) -> Result<()> {
    let id = input.workspace_id;
    let mut row = tx
        .find(&LOST_WITH, params![id, input.worker_id])
        .await?
        .ok_or(Error::Stale)?;
    let scope: Scope = lease::scope(&mut row)?;
    let parent = match input.parent {
        Some(parent) => tx
            .find(&HAS_VERSION, params![parent, id])
            .await?
            .map(|_| parent),
        None => None,
    };
    let version = &input.version;
    let bound = params![
        version.version_id,
        scope.organization,
        scope.project,
        scope.environment,
        id,
        parent,
        MESSAGE,
        version.manifest,
        version.size_bytes,
        version.changed_bytes,
        input.at.now
    ];
    if tx.run(&INSERT_BESIDE, bound).await? == 0 {
        return Ok(());
    }
    let bound = params![id, version.version_id, version.size_bytes];
    let current = tx.run(&GO_ON_WITH, bound).await? > 0;
    if current {
        tx.hint(Hint::Queue);
    }
    let about = About {
        subject: Subject::Workspace(id),
        scope,
        run: None,
        session: None,
        workspace: Some(id),
        attempt: None,
    };
    let event = Event::new(EventKind::WorkspaceVersion)
        .with("version_id", version.version_id.to_string())
        .with("kind", "auto")
        .with("beside", !current)
        .with("size_bytes", version.size_bytes)
        .with("changed_bytes", version.changed_bytes);
    events::append(tx, about, event, input.at).await
}
