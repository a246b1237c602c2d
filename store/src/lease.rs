//! The lease of a workspace, and the fence it makes.

use helmr_domain::lease::{Command, Lease, State, decide};
use helmr_domain::{Epoch, Moment, Scope, VersionId, WorkerId, WorkspaceId};

use crate::db::{Row, Tx, params, sql};
use crate::worker::Fence;
use crate::{Error, Result};

/// A workspace, as far as its machine is concerned.
pub(crate) struct Leased {
    pub(crate) id: WorkspaceId,
    pub(crate) scope: Scope,
    pub(crate) lease: Lease,
    pub(crate) current_version: Option<VersionId>,
}

sql! {
    FIND = "SELECT id, organization_id, project_id, environment_id, current_version_id,
            lease_state, lease_epoch, lease_worker_id, lease_expires_at
        FROM workspaces
        WHERE id = $1";

    SAVE = "UPDATE workspaces
        SET lease_state = $3, lease_epoch = $4, lease_worker_id = $5, lease_expires_at = $6
        WHERE id = $1 AND lease_epoch = $2";
}

pub(crate) fn scope(row: &mut Row) -> Result<Scope> {
    Ok(Scope {
        organization: row.take("organization_id")?,
        project: row.take("project_id")?,
        environment: row.take("environment_id")?,
    })
}

pub(crate) async fn find(tx: &mut Tx, id: WorkspaceId) -> Result<Option<Leased>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

fn read(mut row: Row) -> Result<Leased> {
    let id = row.take("id")?;
    let scope = scope(&mut row)?;
    let current_version = row.take("current_version_id")?;
    let state: String = row.take("lease_state")?;
    let epoch: Epoch = row.take("lease_epoch")?;
    let worker: Option<WorkerId> = row.take("lease_worker_id")?;
    let expires_at = row.take("lease_expires_at")?;
    let state = match (state.as_str(), worker, expires_at) {
        ("held", Some(worker), Some(expires_at)) => State::Held { worker, expires_at },
        ("released", None, None) => State::Released,
        ("expired", None, None) => State::Expired,
        _ => return Err(row.corrupt("lease_state")),
    };
    Ok(Leased {
        id,
        scope,
        lease: Lease { epoch, state },
        current_version,
    })
}

/// Lets a worker's write through, or not.
///
/// # Errors
/// `Stale`.
pub(crate) async fn check(tx: &mut Tx, fence: Fence) -> Result<Leased> {
    let leased = find(tx, fence.workspace_id).await?.ok_or(Error::Stale)?;
    leased.lease.check(fence.worker_id, fence.epoch)?;
    Ok(leased)
}

/// Decides and saves. Answers whether anything changed.
pub(crate) async fn apply(
    tx: &mut Tx,
    leased: &mut Leased,
    command: Command,
    at: Moment,
) -> Result<bool> {
    let Some(next) = decide(&leased.lease, command, at.now)?.next else {
        return Ok(false);
    };
    let (state, worker, expires_at) = match next.state {
        State::Held { worker, expires_at } => ("held", Some(worker), Some(expires_at)),
        State::Released => ("released", None, None),
        State::Expired => ("expired", None, None),
    };
    let changed = tx
        .run(
            &SAVE,
            params![
                leased.id,
                leased.lease.epoch,
                state,
                next.epoch,
                worker,
                expires_at
            ],
        )
        .await?;
    if changed == 0 {
        return Err(Error::Stale);
    }
    leased.lease = next;
    Ok(true)
}
