//! Heartbeats: leases renewed.

use helmr_domain::placement::Capacity;
use helmr_domain::{Duration, Epoch, Moment, WorkerId, WorkspaceId};

use crate::{Result, Store};

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
    todo!()
}
