//! Placement: machines that are wanted, given to workers.

use helmr_domain::{Duration, Epoch, MaterializationId, Moment, WorkerId, WorkspaceId};

use crate::{Result, Store};

#[derive(Debug, Clone, Copy)]
pub struct PlaceNext {
    pub at: Moment,
    pub lease_ttl: Duration,
    /// A worker that was not heard of for that long gets nothing.
    pub worker_fresh_for: Duration,
    /// Workspaces looked at in one go.
    pub limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    pub workspace_id: WorkspaceId,
    pub worker_id: WorkerId,
    pub epoch: Epoch,
    pub materialization_id: MaterializationId,
    /// A parked machine is woken; otherwise a new one starts, or a run joins a live one.
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Start,
    Wake,
    Join,
}

/// Places what can be placed: wakes first, then new starts, runs joining live machines without a lease. What cannot be
/// placed has the reason written down, and idle machines are asked to make room. Call it again while it answers `limit`.
///
/// # Errors
/// If the database fails.
pub async fn place_next(store: &Store, input: PlaceNext) -> Result<Vec<Placed>> {
    todo!()
}
