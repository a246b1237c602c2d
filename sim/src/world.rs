//! The world of one schedule: its clock, its queue, its parties, and what is known to be true of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use helmr_domain::{Moment, ProcessId, RunId, Timestamp, WorkerId, WorkspaceId};

use crate::base::{Base, START};
use crate::control::Control;
use crate::dice::Dice;
use crate::event::{Event, Fault, Life, Loop, Queue};
use crate::plan::{MS, Plan, SECOND};
use crate::shadow::{Clocks, Shadow};
use crate::violation::{Checked, Violation, broken, hold};
use crate::worker::Host;
use crate::{calm, invariants};

/// Who had an operation done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Actor {
    Client,
    Loop,
    /// A worker that does not write for a workspace.
    Worker,
    /// A worker that says it holds a lease.
    Holder {
        worker: WorkerId,
        workspace: WorkspaceId,
        epoch: u64,
        held: bool,
    },
}

/// What the parties know and the store does not.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    /// The nonce with which a call was first granted.
    pub(crate) calls: BTreeMap<(RunId, u32, u64), u64>,
    /// Outcomes as they were decided.
    pub(crate) decided: BTreeMap<(RunId, u32, u64), String>,
    pub(crate) increments: BTreeMap<RunId, u64>,
    /// What each call to drop a wait was answered first.
    pub(crate) drops: BTreeMap<(RunId, u32, u64), bool>,
    /// The request that first came with an idempotency key.
    pub(crate) keys: BTreeMap<u64, u64>,
    /// The record that a request to send became.
    pub(crate) sent: BTreeMap<u64, u64>,
    /// Execs whose process was begun.
    pub(crate) begun: BTreeSet<ProcessId>,
    /// Workers whose disk is gone: what is parked there never wakes.
    pub(crate) gone: Vec<WorkerId>,
}

pub(crate) struct World<'a> {
    pub(crate) base: &'a Base,
    pub(crate) dice: Dice,
    pub(crate) plan: Plan,
    pub(crate) now: i64,
    /// How far the control plane's wall clock is off.
    pub(crate) skew: i64,
    /// How far its steady clock is off: as far as the other was when it started.
    pub(crate) steady_skew: i64,
    /// By how much it was set back in all: what was to happen by the clock happens so much later.
    pub(crate) stepped_back: i64,
    pub(crate) queue: Queue,
    pub(crate) control: Control,
    pub(crate) hosts: Vec<Host>,
    pub(crate) shadow: Shadow,
    pub(crate) truth: Truth,
    pub(crate) nonces: u64,
    pub(crate) calm: calm::Calm,
    pub(crate) steps: u64,
    pub(crate) hash: u64,
    pub(crate) done: bool,
    trace: Option<Vec<String>>,
}

/// What became of a schedule.
#[derive(Debug, Clone)]
pub struct Played {
    pub steps: u64,
    /// Simulated time, in milliseconds.
    pub simulated_ms: i64,
    /// Of everything that happened, in order: the same for the same seed and the same code.
    pub hash: u64,
    pub runs: usize,
    pub waits: usize,
    pub execs: usize,
    /// What happened at least once, of what not every schedule comes to.
    pub reached: BTreeSet<&'static str>,
    pub violation: Option<Violation>,
    pub trace: Vec<String>,
}

/// Plays the schedule of a seed.
///
/// # Errors
/// If the store cannot be put back to its beginning.
pub fn play(base: &Base, seed: u64, traced: bool) -> anyhow::Result<Played> {
    base.inside.rewind()?;
    let mut dice = Dice::new(seed);
    let plan = Plan::draw(&mut dice);
    let mut world = World {
        base,
        hosts: (0..plan.hosts).map(Host::new).collect(),
        control: Control::new(&base.store),
        dice,
        plan,
        now: START,
        skew: 0,
        steady_skew: 0,
        stepped_back: 0,
        queue: Queue::default(),
        shadow: Shadow::default(),
        truth: Truth::default(),
        nonces: 1_000,
        calm: calm::Calm::default(),
        steps: 0,
        hash: seed,
        done: false,
        trace: traced.then(Vec::new),
    };
    world.begin();
    let violation = world.run().err();
    Ok(Played {
        steps: world.steps,
        simulated_ms: (world.now - START) / MS,
        hash: world.hash,
        runs: world.shadow.runs.len(),
        waits: world.shadow.waits.len(),
        execs: world.shadow.execs.len(),
        reached: world.shadow.reached,
        violation,
        trace: world.trace.unwrap_or_default(),
    })
}

impl World<'_> {
    fn begin(&mut self) {
        if self.trace.is_some() {
            let plan = format!("{:?}", self.plan);
            self.note(|| plan);
        }
        self.queue.add(self.now, Event::ControlUp);
        for host in 0..self.hosts.len() {
            let at = self.now + self.dice.span(0, 50 * MS);
            self.queue.add(at, Event::WorkerUp { host });
        }
        for number in 0..self.plan.requests {
            let at = if number == 0 {
                100 * MS
            } else {
                self.dice.span(0, self.plan.storm)
            };
            self.queue.add(self.now + at, Event::Tend);
        }
        let faults = [
            (self.plan.control_crashes, Fault::ControlCrash),
            (self.plan.worker_crashes, Fault::WorkerCrash),
            (self.plan.host_crashes, Fault::HostCrash),
            (self.plan.disks_lost, Fault::DiskLost),
            (self.plan.drains, Fault::Drain),
            (self.plan.partitions, Fault::Partition),
            (self.plan.clock_steps, Fault::ClockStep),
            (self.plan.guest_deaths, Fault::GuestDeath),
        ];
        for (count, fault) in faults {
            for _ in 0..count {
                let at = self.now + self.dice.span(200 * MS, self.plan.storm);
                self.queue.add(at, Event::Fault(fault.clone()));
            }
        }
        let end = self.now + self.plan.storm;
        self.queue.add(end, Event::CalmDown);
    }

    fn run(&mut self) -> Checked {
        while let Some((at, event)) = self.queue.next() {
            self.now = self.now.max(at);
            self.steps += 1;
            hold!(
                self.steps < 200_000,
                "a schedule comes to its end",
                "{event:?}"
            );
            self.happen(event)?;
            if self.done {
                return Ok(());
            }
        }
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Loop { which, token } => self.turn(which, token),
            Event::ControlUp => self.control_up(),
            Event::Fault(fault) => self.fault(&fault),
            Event::CalmDown => self.calm_down(),
            Event::Tend => self.tend(),
            Event::Request { request, tries } => self.arrives(&request, tries),
            Event::Retry { request, tries } => {
                self.ask(request, tries);
                Ok(())
            }
            Event::Recover(workspace) => self.recover(workspace),
            Event::Post { life, rpc, post } => self.posted(life, rpc, &post),
            Event::Reply { life, rpc, reply } => self.replied(life, rpc, &reply),
            Event::Repost { life, rpc } => {
                self.repost(life, rpc);
                Ok(())
            }
            Event::Push {
                life,
                push,
                control,
                assignment,
            } => self.pushed_to(life, push, control, assignment),
            Event::Pushed {
                push,
                control,
                taken,
            } => self.push_answered(push, control, taken),
            Event::HungUp {
                life,
                connection,
                control,
            } => self.hung_up(life, connection, control),
            Event::WorkerUp { host } => {
                self.worker_up(host);
                Ok(())
            }
            Event::Reconnect { life } => {
                self.connect(life);
                Ok(())
            }
            Event::Beat { life } => self.beat(life),
            Event::Stage { slot, token } => self.stage(slot, token),
            Event::Look { slot } => self.look(slot),
            Event::Lane { slot, run } => self.lane(slot, run),
            Event::Taken {
                slot,
                run,
                position,
                wait,
            } => {
                self.taken(slot, run, position, wait);
                Ok(())
            }
            Event::Line {
                machine,
                slot,
                run,
                line,
            } => self.line(machine, slot, run, &line),
            Event::Ack {
                machine,
                run,
                position,
            } => {
                self.acked(machine, run, position);
                Ok(())
            }
            Event::Step { machine, run } => {
                self.step(machine, run);
                Ok(())
            }
            Event::ExecLine {
                machine,
                slot,
                exec,
            } => self.exec_line(machine, slot, exec),
            Event::ExecBegun { slot, exec } => {
                self.exec_begun(slot, exec);
                Ok(())
            }
            Event::ExecAck {
                machine,
                exec,
                position,
            } => self.exec_acked(machine, exec, position),
            Event::ExecLane { slot, exec } => {
                self.exec_lane(slot, exec);
                Ok(())
            }
            Event::ExecStep { machine, exec } => {
                self.exec_step(machine, exec);
                Ok(())
            }
        }
    }

    /// Notes a line of the trace, if one is kept.
    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            let elapsed = self.now - START;
            let mut text = format!("{:>5}.{:06} ", elapsed / SECOND, elapsed % SECOND);
            let _written = write!(text, "{}", line());
            trace.push(text);
        }
    }

    /// The control plane's times.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks {
            steady: self.now + self.steady_skew,
            wall: self.now + self.skew,
        }
    }

    /// The control plane's steady time.
    pub(crate) fn clock(&self) -> i64 {
        self.clocks().steady
    }

    pub(crate) fn moment(&mut self) -> Moment {
        {
            let clocks = self.clocks();
            let seed = self.dice.bytes();
            Moment::new(Timestamp::from_micros(clocks.steady), seed)
                .with_wall(Timestamp::from_micros(clocks.wall))
        }
    }

    /// Takes in what an operation of the store did, checks everything, and wakes the loops that it concerns.
    pub(crate) fn settle(&mut self, actor: Actor) -> Checked {
        let clocks = self.clocks();
        let changed = self.shadow.take(&self.base.inside, clocks)?;
        let moved = self.hash ^ changed ^ u64::try_from(self.now).unwrap_or(0);
        self.hash = moved.wrapping_mul(0x0100_0000_01b3);
        self.fenced(actor)?;
        if self.shadow.step.changed {
            invariants::check(&self.shadow)?;
            self.take_note_of_outcomes();
        }
        self.hear_hints();
        Ok(())
    }

    /// Nobody changes anything under a lease that is another's.
    fn fenced(&self, actor: Actor) -> Checked {
        if let Actor::Holder {
            held: false,
            worker,
            workspace,
            epoch,
        } = actor
        {
            hold!(
                !self.shadow.step.changed,
                "a stale epoch changes nothing",
                "{worker} wrote for {workspace} under epoch {epoch}"
            );
        }
        Ok(())
    }

    /// Who `worker` is to the store right now, before it writes.
    pub(crate) fn holder(&self, fence: helmr_store::worker::Fence) -> Actor {
        let row = self.shadow.workspaces.get(&fence.workspace_id);
        let epoch = fence.epoch.get();
        Actor::Holder {
            worker: fence.worker_id,
            workspace: fence.workspace_id,
            epoch,
            held: row.is_some_and(|row| {
                row.is_held() && row.holder == Some(fence.worker_id) && row.epoch == epoch
            }),
        }
    }

    fn take_note_of_outcomes(&mut self) {
        for id in &self.shadow.step.decided {
            if let Some(wait) = self.shadow.waits.get(id) {
                let key = (wait.run, wait.attempt, wait.call);
                let outcome = wait.outcome.clone().unwrap_or_default();
                self.truth.decided.insert(key, outcome);
            }
        }
    }

    fn hear_hints(&mut self) {
        use helmr_store::Hint;
        use tokio::sync::broadcast::error::TryRecvError;
        loop {
            let hint = match self.control.hints.try_recv() {
                Ok(hint) => hint,
                Err(TryRecvError::Lagged(_)) => Hint::Queue,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            };
            match hint {
                Hint::Queue => self.wake(Loop::Placement),
                Hint::Assignment(_) => self.wake(Loop::Relay),
                Hint::Timer { .. } => self.wake(Loop::Timers),
                _ => {}
            }
        }
    }

    /// How long a message is on its way. `None`: it is lost.
    pub(crate) fn delay(&mut self) -> Option<i64> {
        if self.dice.chance(self.plan.lost) {
            return None;
        }
        if self.dice.chance(self.plan.late) {
            return Some(self.dice.span(50 * MS, 20 * SECOND));
        }
        Some(self.dice.span(200, 5 * MS))
    }

    pub(crate) fn is_doubled(&mut self) -> bool {
        self.dice.chance(self.plan.doubled)
    }

    fn fault(&mut self, fault: &Fault) -> Checked {
        if self.calm.since.is_some() {
            return Ok(());
        }
        self.note(|| format!("FAULT {fault:?}"));
        let host = self.dice.index(self.hosts.len());
        match fault {
            Fault::ControlCrash => self.control_down(),
            Fault::WorkerCrash => self.worker_down(host),
            Fault::HostCrash => self.host_down(host),
            Fault::DiskLost => self.disk_lost(host),
            Fault::Drain => self.drain(host)?,
            Fault::Partition => {
                let until = self.now + self.dice.span(SECOND, 60 * SECOND);
                self.hosts[host].cut_until = until;
                if let Some(life) = self.life(host) {
                    self.worker_hangs_up(life);
                }
            }
            Fault::ClockStep => {
                let step = match self.dice.roll(3) {
                    0 => self.dice.span(-5 * SECOND, 5 * SECOND),
                    1 => self.dice.span(-120 * SECOND, 0),
                    _ => self.dice.span(0, 120 * SECOND),
                };
                self.skew += step;
                self.stepped_back += (-step).max(0);
                self.note(|| format!("the clock steps by {} ms", step / MS));
            }
            Fault::GuestDeath => self.guest_death(host),
        }
        Ok(())
    }

    fn recover(&mut self, workspace: WorkspaceId) -> Checked {
        if !self.control.up {
            let at = self.now + SECOND;
            self.queue.add(at, Event::Recover(workspace));
            return Ok(());
        }
        let at = self.moment();
        let done = crate::ready(helmr_store::workspaces::recover(
            &self.base.store,
            self.base.scope,
            workspace,
            at,
        ));
        self.settle(Actor::Client)?;
        match done {
            // It may be deleted meanwhile.
            Ok(_) | Err(helmr_store::Error::Refused(_)) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    /// The life of a host's worker, if one runs.
    pub(crate) fn life(&self, host: usize) -> Option<Life> {
        let number = self.hosts[host].lives;
        self.hosts[host]
            .process
            .is_some()
            .then_some(Life { host, number })
    }
}
