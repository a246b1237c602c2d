//! Queues: how many runs of one name and key may be running at once.
//!
//! A run counts while its status is `running`, moving or not. One that waits has given its place away, and goes on
//! without asking for it again. Whoever is queued gets a place in the order of placement, and nobody out of turn: a machine
//! that was kept for a run whose turn it is not might be the room for which the one before it waits.

use helmr_domain::run::State;
use helmr_domain::{Moment, WorkspaceId};

use super::RunRow;
use super::row;
use crate::Result;
use crate::db::{Tx, params, sql};

sql! {
    RUNNING = "SELECT COUNT(*)
        FROM runs
        WHERE environment_id = $1 AND queue = $2 AND queue_key = $3 AND status = 'running'";

    /// Those before a run, as placement orders them.
    AHEAD = "SELECT COUNT(*)
        FROM runs r
        LEFT JOIN workspaces s ON s.id = r.workspace_id
        WHERE r.environment_id = $1 AND r.queue = $2 AND r.queue_key = $3
            AND r.status = 'queued' AND r.queue_limit IS NOT NULL AND r.not_before_at <= $4
            AND (r.ttl_at IS NULL OR r.ttl_at > $4 OR r.attempt > 1)
            AND COALESCE(s.state, '') = 'active'
            AND (r.priority > $5
                OR (r.priority = $5 AND (r.queued_at < $6 OR (r.queued_at = $6 AND r.id < $7))))";
}

/// Whether a queued run's queue has room for it and for all that are before it.
pub(crate) async fn has_room(tx: &mut Tx, row: &RunRow, at: Moment) -> Result<bool> {
    let Some(queue) = &row.run.queue else {
        return Ok(true);
    };
    let Some(limit) = queue.concurrency_limit else {
        return Ok(true);
    };
    let key = queue.concurrency_key.as_deref().unwrap_or_default();
    let State::Queued { since, .. } = row.run.state.state else {
        return Ok(true);
    };
    let environment = row.run.scope.environment;
    let bound = params![environment, queue.name, key];
    let running: u32 = tx.one(&RUNNING, bound).await?.take("COUNT(*)")?;
    if running >= limit {
        return Ok(false);
    }
    let bound = params![
        environment,
        queue.name,
        key,
        at.now,
        row.run.priority,
        since,
        row.run.id
    ];
    let ahead: u32 = tx.one(&AHEAD, bound).await?.take("COUNT(*)")?;
    Ok(running.saturating_add(ahead) < limit)
}

/// Queued runs of a workspace that may be leased now, each for itself.
pub(crate) async fn leasable_in(
    tx: &mut Tx,
    workspace: WorkspaceId,
    at: Moment,
) -> Result<Vec<RunRow>> {
    let mut found = Vec::new();
    for row in row::queued_in(tx, workspace, at).await? {
        if has_room(tx, &row, at).await? {
            found.push(row);
        }
    }
    Ok(found)
}
