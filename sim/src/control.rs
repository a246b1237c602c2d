//! The control plane: the loops and handlers of `helmr-control`, around the real store. A crash loses all but the store.

use std::collections::BTreeMap;
use std::rc::Rc;

use helmr_domain::{Duration, Timestamp, WorkerId};
use helmr_store::outbox::{self, Dirty};
use helmr_store::worker::{self, Assignment, PlaceNext};
use helmr_store::{Hint, Store, timers};
use tokio::sync::broadcast::Receiver;

use crate::event::{Event, Life, Loop};
use crate::plan::{MS, SECOND};
use crate::ready;
use crate::requests::Request;
use crate::violation::{Checked, broken, hold};
use crate::world::{Actor, World};

/// Brings what no hint told.
const LOOK_ANYWAY: i64 = 10 * SECOND;
const REAP_EVERY: i64 = 5 * SECOND;
const AFTER_FAILURE: i64 = SECOND;
const PUSH_WITHIN: i64 = 10 * SECOND;
/// The longest sleep of the clock: after a step it is noticed by then.
const LONGEST_SLEEP: i64 = 30 * SECOND;

pub(crate) struct Control {
    pub(crate) up: bool,
    /// Counts its lives.
    pub(crate) life: u64,
    pub(crate) hints: Receiver<Hint>,
    loops: BTreeMap<Loop, (i64, u64)>,
    tokens: u64,
    /// Whose connection it speaks on.
    pub(crate) connections: BTreeMap<WorkerId, (Life, u64)>,
    last_connection: u64,
    relay: Relay,
    pushes: u64,
}

/// A batch that is being told.
#[derive(Default)]
struct Relay {
    busy: bool,
    again: bool,
    waiting: BTreeMap<u64, Dirty>,
    told: Vec<Dirty>,
    some_left: bool,
}

impl Control {
    pub(crate) fn new(store: &Store) -> Self {
        Self {
            up: false,
            life: 0,
            hints: store.hints(),
            loops: BTreeMap::new(),
            tokens: 0,
            connections: BTreeMap::new(),
            last_connection: 0,
            relay: Relay::default(),
            pushes: 0,
        }
    }
}

impl World<'_> {
    pub(crate) fn control_down(&mut self) {
        if !self.control.up {
            return;
        }
        self.note(|| "the control plane is killed".to_owned());
        let life = self.control.life;
        let lives: Vec<Life> = self
            .control
            .connections
            .values()
            .map(|(life, _)| *life)
            .collect();
        let tokens = self.control.tokens;
        let last_connection = self.control.last_connection;
        self.control = Control::new(&self.base.store);
        self.control.life = life + 1;
        self.control.tokens = tokens;
        self.control.last_connection = last_connection;
        for life in lives {
            self.worker_lost_control(life);
        }
        let down = if self.dice.roll(4) == 0 {
            self.dice.span(SECOND, 40 * SECOND)
        } else {
            self.dice.span(10 * MS, SECOND)
        };
        let at = self.now + down;
        self.queue.add(at, Event::ControlUp);
    }

    pub(crate) fn control_up(&mut self) -> Checked {
        if self.control.up {
            return Ok(());
        }
        self.note(|| "the control plane starts".to_owned());
        self.control.up = true;
        self.steady_skew = self.skew;
        self.control.hints = self.base.store.hints();
        // Connections of an earlier process are gone with it.
        let known: Vec<WorkerId> = self.hosts.iter().filter_map(|host| host.id).collect();
        for id in known {
            let at = self.moment();
            ready(worker::disconnected(&self.base.store, id, at))
                .map_err(|error| broken(&error))?;
            self.settle(Actor::Loop)?;
        }
        for which in [Loop::Placement, Loop::Relay, Loop::Timers] {
            self.wake(which);
        }
        // Whatever was held meanwhile could not be renewed.
        self.schedule(Loop::Reaper, self.now + self.plan.lease_ttl);
        Ok(())
    }

    /// Has a loop look soon.
    pub(crate) fn wake(&mut self, which: Loop) {
        let soon = if self.dice.chance(self.plan.lazy) {
            self.dice.span(0, 2 * SECOND)
        } else {
            self.dice.span(10, MS)
        };
        self.schedule(which, self.now + soon);
    }

    /// Has a loop look then, unless it does so earlier.
    fn schedule(&mut self, which: Loop, at: i64) {
        if !self.control.up {
            return;
        }
        if self
            .control
            .loops
            .get(&which)
            .is_some_and(|(then, _)| *then <= at)
        {
            return;
        }
        self.control.tokens += 1;
        let token = self.control.tokens;
        self.control.loops.insert(which, (at, token));
        self.queue.add(at, Event::Loop { which, token });
    }

    pub(crate) fn turn(&mut self, which: Loop, token: u64) -> Checked {
        let current = self.control.loops.get(&which).map(|(_, token)| *token);
        if !self.control.up || current != Some(token) {
            return Ok(());
        }
        self.control.loops.remove(&which);
        match which {
            Loop::Placement => self.place(),
            Loop::Relay => self.relay(),
            Loop::Timers => self.fire(),
            Loop::Reaper => self.reap(),
        }
    }

    /// Whether a machine may be wanted.
    fn is_wanting(&self) -> bool {
        let shadow = &self.shadow;
        let parked = |workspace| {
            let machine = shadow.machine_of(workspace);
            machine.is_some_and(|machine| machine.state == "parked")
        };
        let mut runs = shadow.open.runs.iter().filter_map(|id| shadow.runs.get(id));
        let mut waits = shadow
            .open
            .waits
            .iter()
            .filter_map(|id| shadow.waits.get(id));
        let mut execs = shadow
            .open
            .execs
            .iter()
            .filter_map(|id| shadow.execs.get(id));
        runs.any(|run| {
            let moving = run.status == "running" && run.clock_at.is_none();
            run.status == "queued" || ((moving || run.stop.is_some()) && parked(run.workspace))
        }) || waits.any(|wait| wait.state == "resuming" && parked(wait.workspace))
            || execs.any(|exec| exec.state == "queued" || parked(exec.workspace))
    }

    fn place(&mut self) -> Checked {
        // Looking for nothing is tried now and then.
        let wanting = self.is_wanting();
        if !wanting && self.dice.roll(8) > 0 {
            self.schedule(Loop::Placement, self.now + LOOK_ANYWAY);
            return Ok(());
        }
        let input = PlaceNext {
            at: self.moment(),
            lease_ttl: Duration::from_micros(self.plan.lease_ttl),
            worker_fresh_for: Duration::from_micros(self.plan.lease_ttl),
            limit: if self.dice.roll(4) == 0 { 1 } else { 50 },
        };
        let placed = ready(worker::place_next(&self.base.store, input));
        self.settle(Actor::Loop)?;
        let placed = placed.map_err(|error| broken(&error))?;
        hold!(
            wanting || placed.is_empty(),
            "only what is wanted is placed",
            "{placed:?}"
        );
        for one in &placed {
            self.note(|| {
                format!(
                    "placed {} on {} epoch {} {:?}",
                    one.workspace_id, one.worker_id, one.epoch, one.kind
                )
            });
        }
        if u32::try_from(placed.len()).is_ok_and(|count| count >= input.limit) {
            self.wake(Loop::Placement);
        }
        self.schedule(Loop::Placement, self.now + LOOK_ANYWAY);
        Ok(())
    }

    fn fire(&mut self) -> Checked {
        let at = self.moment();
        // A crash may come between any two timers.
        let limit = if self.dice.roll(4) == 0 { 1 } else { 100 };
        let clocks = self.clocks();
        let timers = self.shadow.timers.values();
        let due = timers
            .filter(|due| due.at <= clocks.read(due.by_wall))
            .count();
        if due > 0 {
            let fired = ready(timers::fire_due(&self.base.store, at, limit));
            self.settle(Actor::Loop)?;
            let fired = fired.map_err(|error| broken(&error))?;
            hold!(
                usize::try_from(fired.fired).is_ok_and(|fired| fired >= 1 && fired <= due),
                "timers that are due fire",
                "{fired:?} of {due}"
            );
            self.note(|| format!("fired {} timers", fired.fired));
        }
        let next = ready(timers::next_due(&self.base.store)).map_err(|error| broken(&error))?;
        for (by_wall, told) in [(false, next.steady), (true, next.wall)] {
            let timers = self.shadow.timers.values();
            let kept = timers
                .filter(|due| due.by_wall == by_wall)
                .map(|due| due.at)
                .min();
            hold!(
                told.map(Timestamp::as_micros) == kept,
                "timers that are due fire",
                "the next is {told:?}, not {kept:?}"
            );
            if let Some(next) = kept {
                let rest = (next - self.clocks().read(by_wall)).clamp(10, LONGEST_SLEEP);
                self.schedule(Loop::Timers, self.now + rest);
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> Checked {
        let clock = self.clock();
        let mut held = self.shadow.workspaces.values();
        let ran_out = held.any(|one| one.expires_at.is_some_and(|at| at <= clock));
        // Looking for nothing is tried now and then.
        if ran_out || self.dice.roll(8) == 0 {
            let at = self.moment();
            let limit = if self.dice.roll(4) == 0 { 1 } else { 50 };
            let reaped = ready(worker::reap_expired_leases(&self.base.store, at, limit));
            self.settle(Actor::Loop)?;
            let reaped = reaped.map_err(|error| broken(&error))?;
            hold!(
                ran_out || reaped.is_empty(),
                "only leases that ran out are taken back",
                "{reaped:?}"
            );
            for one in reaped {
                self.note(|| format!("reaped {} of {}", one.workspace_id, one.worker_id));
                let then = self.now + self.dice.span(MS, 10 * SECOND);
                self.queue.add(then, Event::Recover(one.workspace_id));
            }
        }
        self.schedule(Loop::Reaper, self.now + REAP_EVERY);
        Ok(())
    }

    fn relay(&mut self) -> Checked {
        if self.control.relay.busy {
            self.control.relay.again = true;
            return Ok(());
        }
        if self.shadow.outbox.is_empty() && self.dice.roll(8) > 0 {
            self.schedule(Loop::Relay, self.now + LOOK_ANYWAY);
            return Ok(());
        }
        let limit = if self.dice.roll(4) == 0 { 1 } else { 64 };
        let pending =
            ready(outbox::pending(&self.base.store, limit)).map_err(|error| broken(&error))?;
        hold!(
            pending.len()
                == self
                    .shadow
                    .outbox
                    .len()
                    .min(usize::try_from(limit).unwrap_or(64)),
            "no lost wake",
            "the relay sees {pending:?} of {:?}",
            self.shadow.outbox
        );
        if pending.is_empty() {
            self.schedule(Loop::Relay, self.now + LOOK_ANYWAY);
            return Ok(());
        }
        self.control.relay.busy = true;
        self.control.relay.some_left = false;
        for dirty in pending {
            let read = ready(worker::assignment(&self.base.store, dirty.workspace_id))
                .map_err(|error| broken(&error))?;
            match read {
                Some(assignment) => self.push(dirty, assignment),
                None => self.control.relay.told.push(dirty),
            }
        }
        self.relay_done()
    }

    fn push(&mut self, dirty: Dirty, assignment: Assignment) {
        let Some((life, _)) = self.control.connections.get(&assignment.worker_id).copied() else {
            // It is marked again when the worker connects.
            self.control.relay.told.push(dirty);
            return;
        };
        self.control.pushes += 1;
        let push = self.control.pushes;
        self.control.relay.waiting.insert(push, dirty);
        let control = self.control.life;
        let assignment = Rc::new(assignment);
        for _ in 0..=usize::from(self.is_doubled()) {
            if let Some(delay) = self.delay() {
                let event = Event::Push {
                    life,
                    push,
                    control,
                    assignment: Rc::clone(&assignment),
                };
                self.queue.add(self.now + delay, event);
            }
        }
        let deadline = Event::Pushed {
            push,
            control,
            taken: false,
        };
        self.queue.add(self.now + PUSH_WITHIN, deadline);
    }

    pub(crate) fn push_answered(&mut self, push: u64, control: u64, taken: bool) -> Checked {
        if !self.control.up || control != self.control.life {
            return Ok(());
        }
        let Some(dirty) = self.control.relay.waiting.remove(&push) else {
            return Ok(());
        };
        if taken {
            self.control.relay.told.push(dirty);
        } else {
            self.control.relay.some_left = true;
        }
        self.relay_done()
    }

    fn relay_done(&mut self) -> Checked {
        if !self.control.relay.waiting.is_empty() {
            return Ok(());
        }
        let relay = std::mem::take(&mut self.control.relay);
        if !relay.told.is_empty() {
            let done = ready(outbox::done(&self.base.store, relay.told));
            self.settle(Actor::Loop)?;
            done.map_err(|error| broken(&error))?;
        }
        if relay.some_left {
            self.schedule(Loop::Relay, self.now + AFTER_FAILURE);
        } else {
            self.wake(Loop::Relay);
        }
        Ok(())
    }

    /// A worker's connection, turned around. Gives its number.
    pub(crate) fn take_connection(&mut self, id: WorkerId, life: Life, rpc: u64) -> Checked<u64> {
        self.control.last_connection += 1;
        let number = self.control.last_connection;
        if let Some((before, older)) = self.control.connections.insert(id, (life, number)) {
            // A newer connection of the same worker takes an older one's place, which ends.
            self.superseded(before, older);
        }
        if self.is_unheard(life, rpc) {
            // Whoever asked has gone or given up, which is noticed sooner or later.
            let noticed = self.now + self.dice.span(MS, 20 * SECOND);
            let control = self.control.life;
            self.queue.add(
                noticed,
                Event::HungUp {
                    life,
                    connection: number,
                    control,
                },
            );
        }
        let at = self.moment();
        let noted = ready(worker::connected(&self.base.store, id, at));
        self.settle(Actor::Worker)?;
        noted.map_err(|error| broken(&error))?;
        Ok(number)
    }

    /// A connection has ended, as the control plane notices sooner or later.
    pub(crate) fn hung_up(&mut self, life: Life, connection: u64, control: u64) -> Checked {
        if !self.control.up || control != self.control.life {
            return Ok(());
        }
        let found = self
            .control
            .connections
            .iter()
            .find(|(_, open)| **open == (life, connection));
        let Some(id) = found.map(|(id, _)| *id) else {
            return Ok(());
        };
        self.control.connections.remove(&id);
        let at = self.moment();
        let noted = ready(worker::disconnected(&self.base.store, id, at));
        self.settle(Actor::Worker)?;
        noted.map_err(|error| broken(&error))
    }

    /// A client sends a request.
    pub(crate) fn ask(&mut self, request: Rc<Request>, tries: u32) {
        let repeats = request.may_repeat();
        let mut arrives = false;
        for _ in 0..=usize::from(repeats && self.is_doubled()) {
            if let Some(delay) = self.delay() {
                arrives = true;
                let event = Event::Request {
                    request: Rc::clone(&request),
                    tries,
                };
                self.queue.add(self.now + delay, event);
            }
        }
        if !arrives && repeats && tries < 4 {
            let at = self.now + self.dice.span(SECOND, 10 * SECOND);
            self.queue.add(
                at,
                Event::Retry {
                    request,
                    tries: tries + 1,
                },
            );
        }
    }

    pub(crate) fn arrives(&mut self, request: &Rc<Request>, tries: u32) -> Checked {
        if self.calm.is_ending() {
            // Too late for a world in which nobody works any more.
            return Ok(());
        }
        let repeats = request.may_repeat() && tries < 4;
        if self.control.up {
            self.note(|| format!("{request:?}"));
            self.carry_out(request)?;
        }
        let answered = self.control.up && self.delay().is_some();
        if repeats && (!answered || self.is_doubled()) {
            let at = self.now + self.dice.span(MS, 5 * SECOND);
            self.queue.add(
                at,
                Event::Retry {
                    request: Rc::clone(request),
                    tries: tries + 1,
                },
            );
        }
        Ok(())
    }
}
