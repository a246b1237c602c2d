//! What workers report and are given.
//!
//! Every report carries the lease's epoch and may come again: what it says is done once, and a stale one changes
//! nothing.

mod assignment;
mod calls;
mod heartbeat;
mod holdings;
mod place;
mod reap;
mod registry;
mod report;
mod run;
mod seeds;

use helmr_domain::{Epoch, RunId, WorkerId, WorkspaceId};

pub use assignment::{
    AssignedMachine, AssignedRun, Assignment, Origin, Outcome, StopOrder, Waiting, Want,
    assigned_to, assignment,
};
pub use calls::{Answered, RecordAnswer, answered, record_answer};
pub use heartbeat::{Heartbeat, HeldLease, Leases, heartbeat};
pub use holdings::{Dispensable, Holdings, KeptBeside, dispensable, keep_beside};
pub use place::{Kind as PlacedKind, PlaceNext, Placed, place_next};
pub use reap::{Reaped, reap_expired_leases};
pub use registry::{
    Auth, Register, Registered, Report, Worker, connected, disconnected, find_by_credential, get,
    list, page, register,
};
pub(crate) use report::fenced as fenced_machine;
pub use report::{
    Captured, CapturedVersion, Failed, MachineFence, MachineReport, Parked, Stopped,
    machine_failed, machine_live, machine_parked, machine_parking, machine_stopped,
    machine_stopping, machine_unparked, version_captured,
};
pub use run::{
    Deliver, DropWait, Finish, Finished, RegisterWait, Registered as RegisteredWait, RunInput,
    WaitFor, drop_wait, register_wait, run_finished, run_input, run_started, wait_delivered,
};
pub(crate) use seeds::seed;
pub use seeds::{PutSeed, find_seed, put_seed};

/// The lease under which a worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fence {
    pub worker_id: WorkerId,
    pub workspace_id: WorkspaceId,
    pub epoch: Epoch,
}

/// The attempt for which a worker writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RunFence {
    pub lease: Fence,
    pub run_id: RunId,
    pub attempt: u32,
}
