//! The rows of workspaces and their versions.

use helmr_domain::{Scope, WorkspaceId};
use serde_json::Value as JsonValue;

use super::{Machine, State, Version, Workspace};
use crate::db::{Json, Row, Tx, params, sql};
use crate::events::About;
use crate::lease::scope;
use crate::{Error, Hint, Result, Subject};

impl Workspace {
    pub(super) const fn about(&self) -> About {
        About {
            subject: Subject::Workspace(self.id),
            scope: self.scope,
            run: None,
            session: None,
            workspace: Some(self.id),
            attempt: None,
        }
    }
}

/// What `read` reads, in its order.
macro_rules! columns {
    () => {
        "s.id, s.organization_id, s.project_id, s.environment_id, s.external_id, s.sandbox,
            s.deployment_id, s.fingerprint, s.mount_path, s.state, s.current_version_id,
            s.metadata, s.tags, s.auto_stop_after_us, s.last_activity_at, s.size_bytes,
            s.created_at, s.lease_epoch, s.placement_reason, s.machine_wanted_at, m.id, m.state, m.failure, m.ending,
            m.superseded, m.worker_id, m.driver, c.size_bytes, m.requested_at, m.live_at, m.parked_at,
            m.ended_at"
    };
}
pub(super) use columns;

/// The last machine of `s`, over or not.
macro_rules! machine {
    () => {
        "LEFT JOIN materializations m ON m.id = (
            SELECT MAX(x.id)
            FROM materializations x
            WHERE x.workspace_id = s.id
        )
        LEFT JOIN checkpoints c ON c.id = m.checkpoint_id"
    };
}
pub(super) use machine;

sql! {
    GET = concat!("SELECT ", columns!(), "
        FROM workspaces s
        ", machine!(), "
        WHERE s.id = $1
            AND s.organization_id = $2 AND s.project_id = $3 AND s.environment_id = $4");

    FIND_EXTERNAL = "SELECT id
        FROM workspaces
        WHERE environment_id = $1 AND external_id = $2 AND state <> 'deleted'";

    CLEAR_REASON = "UPDATE workspaces
        SET placement_reason = NULL
        WHERE id = $1 AND placement_reason IS NOT NULL";

    SET_STATE = "UPDATE workspaces
        SET state = $2
        WHERE id = $1";
}

pub(super) fn read(mut row: Row) -> Result<Workspace> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let external_id = row.take("external_id")?;
    let sandbox = row.take("sandbox")?;
    let deployment_id = row.take("deployment_id")?;
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
        deployment_id,
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
        machine_wanted_at: row.take("machine_wanted_at")?,
        machine: read_machine(row)?,
    })
}

fn read_machine(row: &mut Row) -> Result<Option<Machine>> {
    let id = row.take("machine id")?;
    let state = row.take("machine state")?;
    let failure: Option<JsonValue> = row.take("machine failure")?;
    let ending = row.take("machine ending")?;
    let superseded: Option<bool> = row.take("machine superseded")?;
    let worker_id = row.take("machine worker_id")?;
    let driver = row.take("machine driver")?;
    let checkpoint_size_bytes = row.take("checkpoint size_bytes")?;
    let requested_at = row.take("machine requested_at")?;
    let live_at = row.take("machine live_at")?;
    let parked_at = row.take("machine parked_at")?;
    let ended_at = row.take("machine ended_at")?;
    match (id, state, ending, worker_id, driver, requested_at) {
        (
            Some(id),
            Some(state),
            Some(ending),
            Some(worker_id),
            Some(driver),
            Some(requested_at),
        ) => Ok(Some(Machine {
            id,
            state,
            failure: failure.as_ref().and_then(words),
            ending,
            superseded: superseded.unwrap_or(false),
            worker_id,
            driver,
            checkpoint_size_bytes,
            requested_at,
            live_at,
            parked_at,
            ended_at,
        })),
        _ => Ok(None),
    }
}

/// What a worker told of a failure.
fn words(failure: &JsonValue) -> Option<String> {
    let kind = failure.get("kind")?.as_str()?;
    let message = failure.get("message")?.as_str()?;
    Some(format!("{kind}: {message}"))
}

pub(super) fn read_version(mut row: Row) -> Result<Version> {
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

/// Finds a workspace, also one that is deleted.
///
/// # Errors
/// `NotFound`.
pub(super) async fn get(tx: &mut Tx, scope: Scope, id: WorkspaceId) -> Result<Workspace> {
    find(tx, scope, id)
        .await?
        .ok_or(Error::NotFound("workspace"))
}

pub(super) async fn find(tx: &mut Tx, scope: Scope, id: WorkspaceId) -> Result<Option<Workspace>> {
    let bound = params![id, scope.organization, scope.project, scope.environment];
    tx.find(&GET, bound).await?.map(read).transpose()
}

/// The workspace that has an external id now.
pub(super) async fn find_external(
    tx: &mut Tx,
    scope: Scope,
    external_id: &str,
) -> Result<Option<WorkspaceId>> {
    let found = tx
        .find(&FIND_EXTERNAL, params![scope.environment, external_id])
        .await?;
    found.map(|mut row| row.take("id")).transpose()
}

pub(super) async fn set_state(tx: &mut Tx, id: WorkspaceId, state: State) -> Result<()> {
    tx.run(&SET_STATE, params![id, state.as_str()])
        .await
        .map(drop)
}

/// Something that wanted a machine does no more. Whether anything else does, the next look tells.
pub(crate) async fn want_less(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    if tx.run(&CLEAR_REASON, params![id]).await? > 0 {
        tx.hint(Hint::Queue);
    }
    Ok(())
}
