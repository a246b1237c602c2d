//! Reports on machines.

mod end;
mod live;
mod park;

use helmr_domain::{CheckpointId, MaterializationId, Moment, VersionId};
use serde_json::Value;

use crate::db::Tx;
use crate::lease::{self, Leased};
use crate::machine::{self, MachineRow};
use crate::worker::Fence;
use crate::{Error, Result};

pub use end::{machine_failed, machine_stopped, machine_stopping, version_captured};
pub use live::{machine_live, machine_unparked};
pub use park::{machine_parked, machine_parking};

/// The machine on which a worker reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MachineFence {
    pub lease: Fence,
    pub materialization_id: MaterializationId,
}

#[derive(Debug, Clone, Copy)]
pub struct MachineReport {
    pub at: Moment,
    pub fence: MachineFence,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedVersion {
    /// Made by the worker, so that a repeated report is the same version.
    pub version_id: VersionId,
    pub manifest: String,
    pub size_bytes: u64,
    pub changed_bytes: u64,
}

#[derive(Debug, Clone)]
pub struct Parked {
    pub at: Moment,
    pub fence: MachineFence,
    pub checkpoint_id: CheckpointId,
    pub checkpoint_size_bytes: u64,
    pub runtime_identity: String,
    pub version: CapturedVersion,
    /// Whatever its runs do: those that were running are moving now.
    pub draining: bool,
    /// Milliseconds by step, for people.
    pub timings: Value,
}

#[derive(Debug, Clone)]
pub struct Stopped {
    pub at: Moment,
    pub fence: MachineFence,
    /// `None` if nothing changed since the last version.
    pub version: Option<CapturedVersion>,
}

#[derive(Debug, Clone)]
pub struct Failed {
    pub at: Moment,
    pub fence: MachineFence,
    /// `image_failed`, `sandbox_failed`, `out_of_memory`, `disk_full`, `restore_failed` or `machine_died`.
    pub kind: String,
    pub message: String,
    pub version: Option<CapturedVersion>,
    /// The checkpoint it was to be restored from is still good.
    pub checkpoint_kept: bool,
}

#[derive(Debug, Clone)]
pub struct Captured {
    pub at: Moment,
    pub fence: MachineFence,
    pub version: CapturedVersion,
    /// The requests for which it was captured.
    pub asked: Vec<VersionId>,
}

/// Finds the machine of a lease that is held.
///
/// # Errors
/// `Stale`.
pub(crate) async fn fenced(tx: &mut Tx, fence: MachineFence) -> Result<(MachineRow, Leased)> {
    let leased = lease::check(tx, fence.lease).await?;
    let machine = machine::find(tx, fence.materialization_id)
        .await?
        .filter(|machine| {
            machine.workspace == fence.lease.workspace_id && machine.epoch == fence.lease.epoch
        })
        .ok_or(Error::Stale)?;
    Ok((machine, leased))
}

/// Finds the machine that the lease of a report was for, though that report itself may have ended the lease.
async fn reported(tx: &mut Tx, fence: MachineFence) -> Result<Option<MachineRow>> {
    let found = machine::find(tx, fence.materialization_id).await?;
    Ok(found.filter(|machine| {
        machine.workspace == fence.lease.workspace_id
            && machine.epoch == fence.lease.epoch
            && machine.worker == fence.lease.worker_id
    }))
}
