//! What can happen, and when: the one queue from which a schedule is played.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::rc::Rc;

use helmr_domain::exec::End;
use helmr_domain::{MaterializationId, ProcessId, WaitId, WorkspaceId};
use helmr_store::execs::{Fenced, Stream};
use helmr_store::worker::{Assignment, CapturedVersion, HeldLease, Leases, MachineFence, RunFence};

use crate::guest::{Answer, Call, RunKey};
use crate::requests::Request;

/// A worker's process: which host, and which of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) host: usize,
    pub(crate) number: u64,
}

/// A slot of a worker's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotRef {
    pub(crate) life: Life,
    pub(crate) workspace: WorkspaceId,
    pub(crate) number: u64,
}

/// A machine that runs on a host: another number for each start and restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MachineRef {
    pub(crate) host: usize,
    pub(crate) id: MaterializationId,
    pub(crate) number: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loop {
    Placement,
    Relay,
    Timers,
    Reaper,
}

/// What a worker posts.
#[derive(Debug, Clone)]
pub(crate) enum Post {
    Register,
    Connect,
    Heartbeat {
        leases: Vec<HeldLease>,
        draining: bool,
    },
    Live(MachineFence),
    Parking(MachineFence),
    Unparked(MachineFence),
    Parked {
        fence: MachineFence,
        checkpoint: helmr_domain::CheckpointId,
        version: CapturedVersion,
        draining: bool,
    },
    Stopping(MachineFence),
    Stopped {
        fence: MachineFence,
        version: Option<CapturedVersion>,
    },
    Failed {
        fence: MachineFence,
        kind: &'static str,
        kept: bool,
    },
    Version {
        fence: MachineFence,
        version: CapturedVersion,
    },
    Input(RunFence),
    Started(RunFence),
    Call {
        fence: RunFence,
        session: helmr_domain::SessionId,
        call: Call,
    },
    Delivered {
        fence: RunFence,
        wait: WaitId,
    },
    Printed {
        fence: RunFence,
        printed: Printed,
    },
    /// A log entry, by its frame's position.
    Logged {
        fence: RunFence,
        index: u64,
    },
    ExecStarted(Fenced),
    ExecPrinted {
        fence: Fenced,
        printed: Printed,
    },
    ExecTaken {
        fence: Fenced,
        offset: u64,
        closed: bool,
    },
    ExecInput {
        fence: Fenced,
        offset: u64,
    },
    ExecEnded {
        fence: Fenced,
        end: End,
    },
    Finished {
        fence: RunFence,
        ending: Ending,
        untaken: Vec<u64>,
    },
}

/// A piece of output.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printed {
    pub(crate) stream: Stream,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    /// Its last byte begins a character.
    pub(crate) split: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Succeeded,
    Failed,
    Exited,
    Stopped,
}

/// What the control plane answers to a post.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Done,
    Registered {
        id: helmr_domain::WorkerId,
        credential: Option<[u8; 32]>,
    },
    Connected(u64),
    Leases(Leases),
    Session(helmr_domain::SessionId),
    Answered(Answer),
    /// A wait: its outcome comes with an assignment.
    Waiting,
    /// Input of an exec from the offset that was asked for, and whether nothing comes behind it.
    Input {
        size: u64,
        end: bool,
    },
    Refused(&'static str),
    Stale,
}

#[derive(Debug, Clone)]
pub(crate) enum Line {
    Start(helmr_domain::SessionId),
    Cancel,
    Kill,
    Answer {
        no: u64,
        answer: Answer,
        position: Option<u64>,
        wait: Option<WaitId>,
    },
}

#[derive(Debug, Clone)]
pub(crate) enum Fault {
    ControlCrash,
    WorkerCrash,
    HostCrash,
    DiskLost,
    Drain,
    Partition,
    ClockStep,
    GuestDeath,
}

#[derive(Debug, Clone)]
pub(crate) enum Event {
    Loop {
        which: Loop,
        token: u64,
    },
    ControlUp,
    Fault(Fault),
    CalmDown,
    /// In the calm: whatever people and programs outside would do sooner or later.
    Tend,
    Request {
        request: Rc<Request>,
        tries: u32,
    },
    Retry {
        request: Rc<Request>,
        tries: u32,
    },
    Recover(WorkspaceId),
    Post {
        life: Life,
        rpc: u64,
        post: Rc<Post>,
    },
    Reply {
        life: Life,
        rpc: u64,
        reply: Rc<Reply>,
    },
    Repost {
        life: Life,
        rpc: u64,
    },
    Push {
        life: Life,
        push: u64,
        control: u64,
        assignment: Rc<Assignment>,
    },
    Pushed {
        push: u64,
        control: u64,
        taken: bool,
    },
    HungUp {
        life: Life,
        connection: u64,
        control: u64,
    },
    WorkerUp {
        host: usize,
    },
    Reconnect {
        life: Life,
    },
    Beat {
        life: Life,
    },
    Stage {
        slot: SlotRef,
        token: u64,
    },
    Look {
        slot: SlotRef,
    },
    Lane {
        slot: SlotRef,
        run: RunKey,
    },
    Taken {
        slot: SlotRef,
        run: RunKey,
        position: Option<u64>,
        wait: Option<WaitId>,
    },
    Line {
        machine: MachineRef,
        slot: SlotRef,
        run: RunKey,
        line: Rc<Line>,
    },
    Ack {
        machine: MachineRef,
        run: RunKey,
        position: u64,
    },
    Step {
        machine: MachineRef,
        run: RunKey,
    },
    ExecLine {
        machine: MachineRef,
        slot: SlotRef,
        exec: ProcessId,
    },
    /// The guest has been asked for the process.
    ExecBegun {
        slot: SlotRef,
        exec: ProcessId,
    },
    ExecAck {
        machine: MachineRef,
        exec: ProcessId,
        position: u64,
    },
    ExecLane {
        slot: SlotRef,
        exec: ProcessId,
    },
    ExecStep {
        machine: MachineRef,
        exec: ProcessId,
    },
}

struct Queued {
    at: i64,
    order: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Events by time; those of one time in the order in which they were thought of.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Queued>>,
    order: u64,
}

impl Queue {
    pub(crate) fn add(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.heap.push(Reverse(Queued {
            at,
            order: self.order,
            event,
        }));
    }

    pub(crate) fn next(&mut self) -> Option<(i64, Event)> {
        self.heap
            .pop()
            .map(|Reverse(queued)| (queued.at, queued.event))
    }
}
