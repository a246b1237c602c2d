//! Heartbeats: leases renewed.

use helmr_domain::lease::Command;
use helmr_domain::placement::Capacity;
use helmr_domain::{Duration, Epoch, Moment, WorkerId, WorkspaceId};

use crate::db::{Json, Tx, params, sql};
use crate::{Error, Hint, Result, Store, lease};

sql! {
    SEEN = "UPDATE workers
        SET free = $2, state = $3, last_seen_at = $4
        WHERE id = $1";
}

#[derive(Debug, Clone)]
pub struct Heartbeat {
    pub at: Moment,
    pub worker_id: WorkerId,
    pub free: Capacity,
    pub draining: bool,
    pub leases: Vec<HeldLease>,
    pub lease_ttl: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeldLease {
    pub workspace_id: WorkspaceId,
    pub epoch: Epoch,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leases {
    pub renewed: Vec<HeldLease>,
    /// Not this worker's any more.
    pub lost: Vec<WorkspaceId>,
}

/// Renews the leases a worker says it holds; one that ran out but was taken by nobody is renewed too.
///
/// # Errors
/// `NotFound` if there is no such worker.
pub async fn heartbeat(store: &Store, input: Heartbeat) -> Result<Leases> {
    store
        .write(input, |tx, input| Box::pin(beat(tx, input)))
        .await
}

async fn beat(tx: &mut Tx, input: &Heartbeat) -> Result<Leases> {
    let state = if input.draining { "draining" } else { "active" };
    let bound = params![input.worker_id, Json(input.free), state, input.at.now];
    if tx.run(&SEEN, bound).await? == 0 {
        return Err(Error::NotFound("worker"));
    }
    let mut leases = Leases {
        renewed: Vec::new(),
        lost: Vec::new(),
    };
    for held in &input.leases {
        if renew(tx, input, *held).await? {
            leases.renewed.push(*held);
        } else {
            leases.lost.push(held.workspace_id);
        }
    }
    if !leases.lost.is_empty() {
        tx.hint(Hint::Queue);
    }
    Ok(leases)
}

async fn renew(tx: &mut Tx, input: &Heartbeat, held: HeldLease) -> Result<bool> {
    let Some(mut leased) = lease::find(tx, held.workspace_id).await? else {
        return Ok(false);
    };
    let command = Command::Renew {
        worker: input.worker_id,
        epoch: held.epoch,
        ttl: input.lease_ttl,
    };
    match lease::apply(tx, &mut leased, command, input.at).await {
        Ok(_) => Ok(true),
        Err(Error::Stale) => Ok(false),
        Err(error) => Err(error),
    }
}
