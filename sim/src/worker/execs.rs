//! The execs of a live machine: started, signalled, fed, heard, seen to end.

use std::rc::Rc;

use helmr_domain::ProcessId;
use helmr_domain::exec::State;
use helmr_store::execs::{Fenced, Stream};
use helmr_store::worker::Assignment;

use super::{ExecLane, Why};
use crate::event::{Event, MachineRef, Post, Reply, SlotRef};
use crate::guest::Next;
use crate::guest::exec::{Exec, ExecLine, Said};
use crate::plan::MS;
use crate::violation::{Checked, hold};
use crate::world::World;

/// How far the guest is ahead of the process.
const AHEAD_BYTES: u64 = 256 << 10;

impl World<'_> {
    fn exec_fence(&mut self, slot: SlotRef, exec: ProcessId) -> Option<Fenced> {
        let lease = self.fence_of(slot)?.lease;
        Some(Fenced { lease, exec })
    }

    pub(super) fn reconcile_execs(
        &mut self,
        slot: SlotRef,
        assignment: &Rc<Assignment>,
    ) -> Checked {
        for exec in &assignment.execs {
            let id = exec.id;
            let started = matches!(exec.state, State::Running { .. });
            let Some(held) = self.slot(slot) else {
                return Ok(());
            };
            if held.execs_over.contains(&id) {
                continue;
            }
            match held.execs.get_mut(&id) {
                None => {
                    // `helmr-worker` would tell that the machine does not know it any more.
                    hold!(
                        !started,
                        "a running exec keeps its machine",
                        "the machine of {slot:?} does not know {exec:?}"
                    );
                    let mut lane = ExecLane::new(0);
                    lane.begun = true;
                    held.execs.insert(id, lane);
                    self.say_to_exec(slot, id, ExecLine::Start);
                }
                Some(lane) if !started && !lane.begun => {
                    // It was begun by a worker that did not come to tell.
                    lane.begun = true;
                    self.exec_begun(slot, id);
                }
                Some(_) => {}
            }
            let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&id)) else {
                return Ok(());
            };
            let known = lane.signals;
            lane.signals = known.max(exec.signals.len());
            lane.available = (exec.stdin.end, exec.stdin.closed);
            for (signal, number) in exec.signals.iter().zip(1..).skip(known) {
                let line = ExecLine::Signal {
                    signal: *signal,
                    number,
                };
                self.say_to_exec(slot, id, line);
            }
            self.feed(slot, id);
        }
        Ok(())
    }

    fn say_to_exec(&mut self, slot: SlotRef, exec: ProcessId, line: ExecLine) {
        let Some(machine) = self.machine_ref(slot) else {
            return;
        };
        let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&exec)) else {
            return;
        };
        lane.said.push_back(line);
        let at = self.now + self.dice.span(100, 5 * MS);
        self.queue.add(
            at,
            Event::ExecLine {
                machine,
                slot,
                exec,
            },
        );
    }

    /// The guest has been asked for the process.
    pub(crate) fn exec_begun(&mut self, slot: SlotRef, exec: ProcessId) {
        let Some(held) = self.slot(slot) else { return };
        if !held.execs.contains_key(&exec) {
            return;
        }
        held.delivering += 1;
        if let Some(fence) = self.exec_fence(slot, exec) {
            self.post(slot.life, Why::ExecBegun(slot), Post::ExecStarted(fence));
        }
    }

    /// Passes input on, no further ahead of the process than it takes to keep it busy.
    fn feed(&mut self, slot: SlotRef, exec: ProcessId) {
        let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&exec)) else {
            return;
        };
        let (end, closed) = lane.available;
        let wanted = closed || end > lane.sent;
        let near = lane
            .taken
            .is_some_and(|taken| lane.sent < taken + AHEAD_BYTES);
        if lane.feeding || lane.fed || !wanted || !near {
            return;
        }
        lane.feeding = true;
        let offset = lane.sent;
        if let Some(fence) = self.exec_fence(slot, exec) {
            let post = Post::ExecInput { fence, offset };
            self.post(slot.life, Why::ExecInput(slot, exec), post);
        }
    }

    pub(super) fn exec_input_read(
        &mut self,
        slot: SlotRef,
        exec: ProcessId,
        reply: &Reply,
    ) -> Checked {
        if matches!(reply, Reply::Stale) {
            return self.lost(slot);
        }
        let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&exec)) else {
            return Ok(());
        };
        lane.feeding = false;
        let Reply::Input { size, end } = reply else {
            lane.fed = true;
            return Ok(());
        };
        let offset = lane.sent;
        lane.sent += size;
        lane.fed = *end;
        let line = ExecLine::Input {
            offset,
            size: *size,
            end: *end,
        };
        self.say_to_exec(slot, exec, line);
        self.feed(slot, exec);
        Ok(())
    }

    /// The line that was said first arrives at the guest.
    pub(crate) fn exec_line(
        &mut self,
        machine: MachineRef,
        slot: SlotRef,
        exec: ProcessId,
    ) -> Checked {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return Ok(());
        };
        if found.paused {
            let event = Event::ExecLine {
                machine,
                slot,
                exec,
            };
            self.queue.add(now + 100 * MS, event);
            return Ok(());
        }
        let lane = self.slot(slot).and_then(|held| held.execs.get_mut(&exec));
        let Some(line) = lane.and_then(|lane| lane.said.pop_front()) else {
            return Ok(());
        };
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return Ok(());
        };
        match (line, found.guest.execs.get_mut(&exec)) {
            (ExecLine::Start, there) => {
                if there.is_none() {
                    let fresh = self.truth.begun.insert(exec);
                    hold!(fresh, "an exec runs once", "{exec} was begun twice");
                    let process = Exec::draw(&mut self.dice);
                    if let Some(found) = self.hosts[machine.host].machine(machine) {
                        found.guest.execs.insert(exec, process);
                    }
                }
                let at = now + self.dice.span(100, 5 * MS);
                self.queue.add(at, Event::ExecBegun { slot, exec });
            }
            (ExecLine::Signal { signal, number }, Some(process)) => {
                process.signal(signal, number, now, &mut self.dice);
            }
            (ExecLine::Input { offset, size, end }, Some(process)) => {
                hold!(
                    process.input(offset, size, end),
                    "input offsets are contiguous",
                    "{exec} has {} bytes and is given {offset}",
                    process.received
                );
            }
            (ExecLine::Signal { .. } | ExecLine::Input { .. }, None) => {}
        }
        let at = now + self.dice.span(100, MS);
        self.queue.add(at, Event::ExecStep { machine, exec });
        self.queue
            .add(now + 25 * MS, Event::ExecLane { slot, exec });
        Ok(())
    }

    /// Its process runs on.
    pub(crate) fn exec_step(&mut self, machine: MachineRef, exec: ProcessId) {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return;
        };
        if found.paused {
            return;
        }
        let Some(process) = found.guest.execs.get_mut(&exec) else {
            return;
        };
        if let Next::After(span) = process.step(now, &mut self.dice) {
            self.queue
                .add(now + span, Event::ExecStep { machine, exec });
        }
        if let Some(slot) = self.slot_of(machine) {
            self.queue
                .add(now + 25 * MS, Event::ExecLane { slot, exec });
        }
    }

    /// Deals with the next frame of an exec, if it is its turn.
    pub(crate) fn exec_lane(&mut self, slot: SlotRef, exec: ProcessId) {
        let now = self.now;
        let Some(held) = self.slot(slot) else { return };
        let open = held.open;
        let Some(lane) = held.execs.get(&exec) else {
            return;
        };
        if !open || lane.handling.is_some() {
            return;
        }
        let done = lane.done;
        let said = self.guest(slot).and_then(|guest| {
            let mut outbox = guest.execs.get(&exec)?.outbox.iter();
            outbox.find(|sent| sent.position > done).cloned()
        });
        let Some(sent) = said else { return };
        if sent.visible > now {
            self.queue.add(sent.visible, Event::ExecLane { slot, exec });
            return;
        }
        let Some(fence) = self.exec_fence(slot, exec) else {
            return;
        };
        let post = match sent.said {
            Said::Printed(printed) => Post::ExecPrinted { fence, printed },
            Said::Taken { offset, closed } => {
                if let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&exec)) {
                    lane.taken = (!closed).then_some(offset);
                }
                self.feed(slot, exec);
                Post::ExecTaken {
                    fence,
                    offset,
                    closed,
                }
            }
            Said::Exited(end) => Post::ExecEnded { fence, end },
        };
        if let Some(lane) = self.slot(slot).and_then(|held| held.execs.get_mut(&exec)) {
            lane.handling = Some(sent.position);
        }
        let why = Why::ExecFrame(slot, exec, sent.position);
        self.post(slot.life, why, post);
    }

    pub(super) fn exec_frame_answered(
        &mut self,
        slot: SlotRef,
        exec: ProcessId,
        position: u64,
        reply: &Reply,
    ) -> Checked {
        if matches!(reply, Reply::Stale) {
            return self.lost(slot);
        }
        if let Some(machine) = self.machine_ref(slot) {
            let at = self.now + self.dice.span(100, 5 * MS);
            self.queue.add(
                at,
                Event::ExecAck {
                    machine,
                    exec,
                    position,
                },
            );
            self.queue.add(at + MS, Event::Look { slot });
        }
        let exited = self.guest(slot).is_some_and(|guest| {
            let process = guest.execs.get(&exec);
            process.is_some_and(|process| {
                let mut outbox = process.outbox.iter();
                outbox.any(|sent| sent.position == position && matches!(sent.said, Said::Exited(_)))
            })
        });
        let now = self.now;
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if exited {
            held.execs.remove(&exec);
            held.execs_over.insert(exec);
            held.idle_since = now;
            return self.look(slot);
        }
        if let Some(lane) = held.execs.get_mut(&exec) {
            lane.handling = None;
            lane.done = position;
        }
        self.exec_lane(slot, exec);
        Ok(())
    }

    /// The guest lets go of a frame: what it says is the control plane's now.
    pub(crate) fn exec_acked(
        &mut self,
        machine: MachineRef,
        exec: ProcessId,
        position: u64,
    ) -> Checked {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return Ok(());
        };
        if found.paused {
            self.queue.add(
                now + 100 * MS,
                Event::ExecAck {
                    machine,
                    exec,
                    position,
                },
            );
            return Ok(());
        }
        let Some(process) = found.guest.execs.get_mut(&exec) else {
            return Ok(());
        };
        let all = process.printed();
        let outbox = &mut process.outbox;
        let Some(at) = outbox.iter().position(|sent| sent.position == position) else {
            return Ok(());
        };
        let Some(sent) = outbox.remove(at) else {
            return Ok(());
        };
        let kept = self.shadow.execs.get(&exec);
        match sent.said {
            Said::Printed(printed) => {
                let end = kept.map_or(0, |kept| kept.window(printed.stream.as_str()).1);
                let over = kept.is_none_or(|kept| kept.ended_at.is_some());
                hold!(
                    over || end >= printed.offset + printed.size,
                    "what was printed is kept",
                    "{printed:?} of {kept:?}"
                );
            }
            Said::Taken { .. } => {}
            Said::Exited(_) => {
                found.guest.execs.remove(&exec);
                let whole = kept.is_some_and(|kept| {
                    kept.ended_at.is_some()
                        && (kept.state == "lost"
                            || all
                                == [Stream::Stdout, Stream::Stderr]
                                    .map(|stream| kept.window(stream.as_str()).1))
                });
                hold!(
                    whole,
                    "what was printed is kept",
                    "it printed {all:?}: {kept:?}"
                );
            }
        }
        Ok(())
    }

    /// The execs that the guest greets with.
    pub(super) fn know_execs(&mut self, slot: SlotRef) {
        let greeted: Vec<_> = self.guest(slot).map_or_else(Vec::new, |guest| {
            let execs = guest.execs.iter();
            execs.map(|(id, exec)| (*id, exec.received)).collect()
        });
        if let Some(held) = self.slot(slot) {
            for (exec, received) in greeted {
                held.execs
                    .entry(exec)
                    .or_insert_with(|| ExecLane::new(received));
            }
        }
    }
}
