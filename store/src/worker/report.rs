//! Reports on machines.

use helmr_domain::{CheckpointId, MaterializationId, Moment, VersionId};
use serde_json::Value;

use crate::worker::Fence;
use crate::{Result, Store};

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

/// It started, was restored, or is back from a park that failed.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_live(store: &Store, input: MachineReport) -> Result<()> {
    todo!()
}

/// It is about to be paused for a park.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy` while a run in it is not waiting or an outcome is undelivered, `MachineNotInState`.
pub async fn machine_parking(store: &Store, input: MachineReport) -> Result<()> {
    todo!()
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

/// Its checkpoint and files are durable. The lease is released with it, so that a wake may come at once.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_parked(store: &Store, input: Parked) -> Result<()> {
    todo!()
}

/// The park failed and it is live again.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_unparked(store: &Store, input: MachineReport) -> Result<()> {
    todo!()
}

/// It is about to end for lack of work.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy` while it has a run, `MachineNotInState`.
pub async fn machine_stopping(store: &Store, input: MachineReport) -> Result<()> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct Stopped {
    pub at: Moment,
    pub fence: MachineFence,
    /// `None` if nothing changed since the last version.
    pub version: Option<CapturedVersion>,
}

/// It ended, and its files are durable. The lease is released.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy`, `MachineNotInState`.
pub async fn machine_stopped(store: &Store, input: Stopped) -> Result<()> {
    todo!()
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

/// It could not be made or is gone, and nothing of it is left on the worker. Runs that never started are dispatched
/// again; a machine whose checkpoint is good is parked as before.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_failed(store: &Store, input: Failed) -> Result<()> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct Captured {
    pub at: Moment,
    pub fence: MachineFence,
    pub version: CapturedVersion,
}

/// Its files were captured while it lives on.
///
/// # Errors
/// `Stale`.
pub async fn version_captured(store: &Store, input: Captured) -> Result<()> {
    todo!()
}
