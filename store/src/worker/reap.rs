//! Leases that ran out.

use helmr_domain::{Moment, WorkerId, WorkspaceId};

use crate::{Result, Store};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    pub workspace_id: WorkspaceId,
    pub worker_id: WorkerId,
}

/// Takes back up to `limit` leases that ran out: their machines are lost, and their runs dispatched again, attempted
/// again or failed. After a start of the control plane, wait a lease's time before calling it, so that workers can renew.
///
/// # Errors
/// If the database fails; those taken back before stay so.
pub async fn reap_expired_leases(store: &Store, at: Moment, limit: u32) -> Result<Vec<Reaped>> {
    todo!()
}
