//! Queues: how many runs of one name and key may be running at once.
//!
//! A run counts while its status is `running`, moving or not. One that waits has given its place away, and goes on
//! without asking for it again.

use helmr_domain::{Moment, WorkspaceId};

use super::RunRow;
use super::row;
use crate::Result;
use crate::db::{Tx, params, sql};

sql! {
    RUNNING = "SELECT COUNT(*)
        FROM runs
        WHERE environment_id = $1 AND queue = $2 AND queue_key = $3 AND status = 'running'";
}

/// Whether a queued run's queue has room for it.
pub(crate) async fn has_room(tx: &mut Tx, row: &RunRow) -> Result<bool> {
    let Some(queue) = &row.run.queue else {
        return Ok(true);
    };
    let Some(limit) = queue.concurrency_limit else {
        return Ok(true);
    };
    let key = queue.concurrency_key.as_deref().unwrap_or_default();
    let bound = params![row.run.scope.environment, queue.name, key];
    let running: u32 = tx.one(&RUNNING, bound).await?.take("COUNT(*)")?;
    Ok(running < limit)
}

/// Queued runs of a workspace that may be leased now, each for itself.
pub(crate) async fn leasable_in(
    tx: &mut Tx,
    workspace: WorkspaceId,
    at: Moment,
) -> Result<Vec<RunRow>> {
    let mut found = Vec::new();
    for row in row::queued_in(tx, workspace, at).await? {
        if has_room(tx, &row).await? {
            found.push(row);
        }
    }
    Ok(found)
}
