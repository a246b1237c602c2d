//! Workers, after `helmr-worker`: a host with a disk and machines that outlive the process, and the process with its slots.

mod adopt;
mod execs;
mod lanes;
mod live;
mod posts;
mod stages;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use helmr_domain::{
    CheckpointId, Epoch, MaterializationId, ProcessId, WaitId, WorkerId, WorkspaceId,
};
use helmr_store::worker::{Assignment, CapturedVersion, Fence, MachineFence, RunFence};

use crate::event::{Life, MachineRef, Post, SlotRef};
use crate::guest::exec::ExecLine;
use crate::guest::{Guest, RunKey};

/// What of a worker outlives its process.
pub(crate) struct Host {
    /// On its disk, with its credential.
    pub(crate) id: Option<WorkerId>,
    pub(crate) credential: [u8; 32],
    disk: BTreeMap<MaterializationId, Record>,
    machines: BTreeMap<MaterializationId, Machine>,
    machines_made: u64,
    pub(crate) process: Option<Process>,
    /// Counts the processes it has had.
    pub(crate) lives: u64,
    slots_made: u64,
    /// Nothing comes through to the control plane before.
    pub(crate) cut_until: i64,
}

/// What is noted of a machine before each step that leaves something behind.
#[derive(Debug, Clone)]
struct Record {
    workspace: WorkspaceId,
    epoch: Epoch,
    phase: Phase,
    images: BTreeMap<CheckpointId, Guest>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    Restoring(CheckpointId),
    Live {
        confirmed: bool,
        restored_from: Option<CheckpointId>,
    },
    Parking(CheckpointId),
    Parked(CheckpointId),
    Stopping,
}

impl Phase {
    /// The image that may be all there is of the machine.
    const fn image(self) -> Option<CheckpointId> {
        match self {
            Self::Restoring(id) | Self::Parking(id) | Self::Parked(id) => Some(id),
            Self::Live { restored_from, .. } => restored_from,
            Self::Starting | Self::Stopping => None,
        }
    }
}

/// Processes that run, whoever looks after them.
struct Machine {
    number: u64,
    paused: bool,
    guest: Guest,
}

pub(crate) struct Process {
    slots: BTreeMap<WorkspaceId, Slot>,
    /// The epoch under which a workspace was held last.
    over: BTreeMap<WorkspaceId, Epoch>,
    rpcs: BTreeMap<u64, (Why, Rc<Post>)>,
    last_rpc: u64,
    adopted: bool,
    connection: Option<(u64, u64)>,
    draining: Option<i64>,
}

/// What an answer is for.
#[derive(Debug, Clone)]
enum Why {
    Register,
    Adopt,
    Connect,
    Beat { asked_at: i64 },
    Stage(SlotRef),
    Launch(SlotRef, RunKey),
    Frame(SlotRef, RunKey, u64),
    Exit(SlotRef, RunKey, u64),
    Deliver(SlotRef, RunKey),
    Aside(SlotRef),
    ExecBegun(SlotRef),
    ExecFrame(SlotRef, ProcessId, u64),
    ExecInput(SlotRef, ProcessId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Preparing,
    Starting,
    Restoring { from: CheckpointId, answers: bool },
    Adopting,
    Confirming,
    Live,
    AskingToPark { draining: bool },
    SettingAside { image: CheckpointId, draining: bool },
    Committing { image: CheckpointId },
    Unparking,
    AskingToStop,
    Stopping,
    TellingStop,
    Failing { kept: bool },
}

struct Slot {
    number: u64,
    epoch: Epoch,
    machine: MaterializationId,
    assignment: Option<Rc<Assignment>>,
    frozen: bool,
    renewed_at: i64,
    stage: Stage,
    /// Of the timer that the stage waits for.
    token: u64,
    tries: u32,
    /// The lease is being given up: that it is lost is the expected.
    released: bool,
    /// Runs are heard.
    open: bool,
    lanes: BTreeMap<RunKey, Lane>,
    launching: BTreeSet<RunKey>,
    sent: BTreeSet<WaitId>,
    delivering: usize,
    over: BTreeSet<RunKey>,
    told: BTreeSet<RunKey>,
    killed: BTreeSet<RunKey>,
    strays: BTreeMap<RunKey, i64>,
    /// Execs that have a process, as far as is known.
    execs: BTreeMap<ProcessId, ExecLane>,
    execs_over: BTreeSet<ProcessId>,
    idle_since: i64,
    not_before: i64,
    failures: u32,
}

/// The frames of one run, one after the other.
#[derive(Default)]
struct Lane {
    handling: Option<u64>,
    /// The last frame that was dealt with.
    done: u64,
    /// Outcomes on their way.
    undelivered: usize,
    /// How it ended was told.
    told: bool,
}

/// What goes to and comes from one exec.
struct ExecLane {
    handling: Option<u64>,
    done: u64,
    /// The control plane was told that it runs, or will be.
    begun: bool,
    /// Signals that it was sent.
    signals: usize,
    /// How much input there is, and whether no more comes.
    available: (u64, bool),
    /// Input that the guest has been sent.
    sent: u64,
    /// Input that the process has taken; `None` once it takes none.
    taken: Option<u64>,
    feeding: bool,
    /// It was sent everything.
    fed: bool,
    /// Lines on their way to the guest.
    said: VecDeque<ExecLine>,
}

impl ExecLane {
    const fn new(received: u64) -> Self {
        Self {
            handling: None,
            done: 0,
            begun: false,
            signals: 0,
            available: (0, false),
            sent: received,
            taken: Some(received),
            feeding: false,
            fed: false,
            said: VecDeque::new(),
        }
    }
}

impl Host {
    pub(crate) fn new(_number: usize) -> Self {
        Self {
            id: None,
            credential: [0; 32],
            disk: BTreeMap::new(),
            machines: BTreeMap::new(),
            machines_made: 0,
            process: None,
            lives: 0,
            slots_made: 0,
            cut_until: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.machines.is_empty()
            && self
                .process
                .as_ref()
                .is_none_or(|process| process.slots.is_empty())
    }

    fn machine(&mut self, of: MachineRef) -> Option<&mut Machine> {
        self.machines
            .get_mut(&of.id)
            .filter(|machine| machine.number == of.number)
    }
}

impl Slot {
    fn fence(&self, worker: WorkerId, workspace: WorkspaceId) -> MachineFence {
        MachineFence {
            lease: Fence {
                worker_id: worker,
                workspace_id: workspace,
                epoch: self.epoch,
            },
            materialization_id: self.machine,
        }
    }
}

fn run_fence(fence: Fence, run: RunKey) -> RunFence {
    RunFence {
        lease: fence,
        run_id: run.run,
        attempt: run.attempt,
    }
}

/// A version of the files as they are now.
fn version(dice: &mut crate::dice::Dice, now: i64) -> CapturedVersion {
    let now = helmr_domain::Timestamp::from_micros(now);
    CapturedVersion {
        version_id: helmr_domain::VersionId::new(now, dice.bytes()),
        manifest: "files".to_owned(),
        size_bytes: 1,
        changed_bytes: 1,
    }
}

impl crate::world::World<'_> {
    /// The process of a life, while it lasts.
    fn process(&mut self, life: Life) -> Option<&mut Process> {
        let host = &mut self.hosts[life.host];
        if host.lives != life.number {
            return None;
        }
        host.process.as_mut()
    }

    /// A slot, while it lasts.
    fn slot(&mut self, slot: SlotRef) -> Option<&mut Slot> {
        let found = self.process(slot.life)?.slots.get_mut(&slot.workspace)?;
        (found.number == slot.number).then_some(found)
    }

    /// The slot that looks after a machine.
    fn slot_of(&self, machine: MachineRef) -> Option<SlotRef> {
        let host = &self.hosts[machine.host];
        let workspace = host.disk.get(&machine.id)?.workspace;
        let slot = host.process.as_ref()?.slots.get(&workspace)?;
        Some(SlotRef {
            life: self.life(machine.host)?,
            workspace,
            number: slot.number,
        })
    }

    fn slot_refs(&self, life: Life) -> Vec<SlotRef> {
        let process = self.hosts[life.host].process.as_ref();
        process.map_or_else(Vec::new, |process| {
            let slots = process.slots.iter();
            slots
                .map(|(workspace, slot)| SlotRef {
                    life,
                    workspace: *workspace,
                    number: slot.number,
                })
                .collect()
        })
    }

    /// The machine of a slot, if it runs.
    fn machine_ref(&mut self, slot: SlotRef) -> Option<MachineRef> {
        let id = self.slot(slot)?.machine;
        let host = slot.life.host;
        let number = self.hosts[host].machines.get(&id)?.number;
        Some(MachineRef { host, id, number })
    }

    fn guest(&mut self, slot: SlotRef) -> Option<&mut Guest> {
        let machine = self.machine_ref(slot)?;
        self.hosts[machine.host]
            .machine(machine)
            .map(|machine| &mut machine.guest)
    }

    fn record(&mut self, slot: SlotRef) -> Option<&mut Record> {
        let id = self.slot(slot)?.machine;
        self.hosts[slot.life.host].disk.get_mut(&id)
    }

    fn fence_of(&mut self, slot: SlotRef) -> Option<MachineFence> {
        let worker = self.hosts[slot.life.host].id?;
        let fence = self.slot(slot)?.fence(worker, slot.workspace);
        Some(fence)
    }
}
