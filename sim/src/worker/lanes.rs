//! Between guest and control plane: frames up, one after the other for each run, and lines down.

use std::collections::btree_map::Entry;

use super::{Phase, Why, run_fence};
use crate::event::{Ending, Event, Line, MachineRef, Post, Reply, SlotRef};
use crate::guest::{Answer, Frame, Next, Process, RunKey};
use crate::plan::MS;
use crate::violation::{Checked, hold};
use crate::world::World;

impl World<'_> {
    /// Deals with the next frame of a run, if it is its turn.
    pub(crate) fn lane(&mut self, slot: SlotRef, run: RunKey) -> Checked {
        let now = self.now;
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if !held.open {
            return Ok(());
        }
        let Some(lane) = held.lanes.get(&run) else {
            return Ok(());
        };
        if lane.handling.is_some() || lane.undelivered > 0 {
            return Ok(());
        }
        let (done, told) = (lane.done, lane.told);
        let Some(process) = self.guest(slot).and_then(|guest| guest.processes.get(&run)) else {
            return Ok(());
        };
        let session = process.session;
        let Some(sent) = process
            .outbox
            .iter()
            .find(|sent| sent.position > done)
            .cloned()
        else {
            return Ok(());
        };
        if sent.visible > now {
            self.queue.add(sent.visible, Event::Lane { slot, run });
            return Ok(());
        }
        let Some(fence) = self.fence_of(slot) else {
            return Ok(());
        };
        let fence = run_fence(fence.lease, run);
        let stopping = self.is_stopping(slot, run);
        let post = match sent.frame {
            Frame::Exited { killed } => {
                let ending = if stopping || killed && told {
                    Ending::Stopped
                } else {
                    Ending::Exited
                };
                self.set_handling(slot, run, sent.position);
                if told {
                    return self.exit_told(slot, run, sent.position, &Reply::Done);
                }
                let post = Post::Finished {
                    fence,
                    ending,
                    untaken: Vec::new(),
                };
                self.post(slot.life, Why::Exit(slot, run, sent.position), post);
                return Ok(());
            }
            // Output is kept also when it comes after the end.
            Frame::Printed(printed) => Post::Printed { fence, printed },
            Frame::Logged => Post::Logged {
                fence,
                index: sent.position,
            },
            // What else comes after the end was told is not believed.
            _ if told => {
                self.set_handling(slot, run, sent.position);
                return self.frame_done(slot, run, sent.position);
            }
            Frame::Started => Post::Started(fence),
            Frame::Call(call) => Post::Call {
                fence,
                session,
                call,
            },
            Frame::Finished { success, untaken } => {
                let ending = match (success, stopping) {
                    (true, _) => Ending::Succeeded,
                    (false, true) => Ending::Stopped,
                    (false, false) => Ending::Failed,
                };
                if let Some(lane) = self.slot(slot).and_then(|held| held.lanes.get_mut(&run)) {
                    lane.told = true;
                }
                Post::Finished {
                    fence,
                    ending,
                    untaken,
                }
            }
        };
        self.set_handling(slot, run, sent.position);
        self.post(slot.life, Why::Frame(slot, run, sent.position), post);
        Ok(())
    }

    fn set_handling(&mut self, slot: SlotRef, run: RunKey, position: u64) {
        if let Some(lane) = self.slot(slot).and_then(|held| held.lanes.get_mut(&run)) {
            lane.handling = Some(position);
        }
    }

    fn is_stopping(&mut self, slot: SlotRef, run: RunKey) -> bool {
        let Some(held) = self.slot(slot) else {
            return false;
        };
        held.assignment.as_ref().is_some_and(|assignment| {
            let mut runs = assignment.runs.iter();
            runs.any(|one| {
                one.run_id == run.run && one.attempt == run.attempt && one.stop.is_some()
            })
        })
    }

    pub(super) fn frame_answered(
        &mut self,
        slot: SlotRef,
        run: RunKey,
        position: u64,
        reply: &Reply,
    ) -> Checked {
        let call = self.guest(slot).and_then(|guest| {
            let sent = guest
                .processes
                .get(&run)?
                .outbox
                .iter()
                .find(|sent| sent.position == position)?;
            match &sent.frame {
                Frame::Call(call) => Some(call.no),
                Frame::Started
                | Frame::Printed(_)
                | Frame::Logged
                | Frame::Finished { .. }
                | Frame::Exited { .. } => None,
            }
        });
        let answer = match reply {
            Reply::Stale => return self.lost(slot),
            Reply::Answered(answer) => Some(answer.clone()),
            Reply::Refused(_) => Some(Answer::Refused),
            _ => None,
        };
        if let (Some(no), Some(answer)) = (call, answer) {
            // Acknowledged when the guest has the answer.
            let line = Line::Answer {
                no,
                answer,
                position: Some(position),
                wait: None,
            };
            self.say(slot, run, line);
            if let Some(lane) = self.slot(slot).and_then(|held| held.lanes.get_mut(&run)) {
                lane.handling = None;
                lane.done = position;
            }
            return self.lane(slot, run);
        }
        self.frame_done(slot, run, position)
    }

    fn frame_done(&mut self, slot: SlotRef, run: RunKey, position: u64) -> Checked {
        if let Some(lane) = self.slot(slot).and_then(|held| held.lanes.get_mut(&run)) {
            lane.handling = None;
            lane.done = position;
        }
        if let Some(machine) = self.machine_ref(slot) {
            let at = self.now + self.dice.span(100, 5 * MS);
            self.queue.add(
                at,
                Event::Ack {
                    machine,
                    run,
                    position,
                },
            );
        }
        self.lane(slot, run)?;
        self.queue.add(self.now + 6 * MS, Event::Look { slot });
        Ok(())
    }

    /// A run's process is gone and its end told: keeps its files.
    pub(super) fn exit_told(
        &mut self,
        slot: SlotRef,
        run: RunKey,
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
                Event::Ack {
                    machine,
                    run,
                    position,
                },
            );
        }
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        held.lanes.remove(&run);
        held.over.insert(run);
        held.told.remove(&run);
        held.killed.remove(&run);
        held.strays.remove(&run);
        if self.dice.roll(3) == 0 {
            let version = super::version(&mut self.dice, self.now);
            if let Some(fence) = self.fence_of(slot) {
                self.post(
                    slot.life,
                    Why::Aside(slot),
                    Post::Version { fence, version },
                );
            }
        }
        self.queue.add(self.now + 6 * MS, Event::Look { slot });
        self.look(slot)
    }

    /// The guest has a line.
    pub(crate) fn taken(
        &mut self,
        slot: SlotRef,
        run: RunKey,
        position: Option<u64>,
        wait: Option<helmr_domain::WaitId>,
    ) {
        let Some(fence) = self.fence_of(slot) else {
            return;
        };
        if let Some(wait) = wait {
            let post = Post::Delivered {
                fence: run_fence(fence.lease, run),
                wait,
            };
            self.post(slot.life, Why::Deliver(slot, run), post);
        }
        if let (Some(position), Some(machine)) = (position, self.machine_ref(slot)) {
            let at = self.now + self.dice.span(100, 5 * MS);
            self.queue.add(
                at,
                Event::Ack {
                    machine,
                    run,
                    position,
                },
            );
            self.queue.add(at + MS, Event::Look { slot });
        }
    }

    pub(super) fn delivered(&mut self, slot: SlotRef, run: RunKey, reply: &Reply) -> Checked {
        if matches!(reply, Reply::Stale) {
            return self.lost(slot);
        }
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        held.delivering = held.delivering.saturating_sub(1);
        if let Some(lane) = held.lanes.get_mut(&run) {
            lane.undelivered = lane.undelivered.saturating_sub(1);
        }
        self.lane(slot, run)?;
        self.look(slot)
    }

    /// A line arrives at a process.
    pub(crate) fn line(
        &mut self,
        machine: MachineRef,
        slot: SlotRef,
        run: RunKey,
        line: &std::rc::Rc<Line>,
    ) -> Checked {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return Ok(());
        };
        if found.paused {
            // It is read when the machine goes on, if it does.
            let event = Event::Line {
                machine,
                slot,
                run,
                line: std::rc::Rc::clone(line),
            };
            self.queue.add(now + 100 * MS, event);
            return Ok(());
        }
        let (position, wait) = match &**line {
            Line::Start(session) => {
                if let Entry::Vacant(place) = found.guest.processes.entry(run) {
                    let mut process = Process::draw(*session, &mut self.dice);
                    process.say(Frame::Started, now, &mut self.dice);
                    place.insert(process);
                }
                (None, None)
            }
            Line::Cancel => {
                if let Some(process) = found.guest.processes.get_mut(&run) {
                    process.cancel();
                }
                (None, None)
            }
            Line::Kill => {
                if let Some(process) = found.guest.processes.get_mut(&run) {
                    process.kill(now, &mut self.dice);
                }
                (None, None)
            }
            Line::Answer {
                no,
                answer,
                position,
                wait,
            } => {
                if let Some(process) = found.guest.processes.get_mut(&run) {
                    let last = process.appended;
                    hold!(
                        !(matches!(answer, Answer::Outcome(_)) && process.dropped.contains(no)),
                        "a wait that was dropped is over",
                        "{run:?} heard {answer:?} of call {no}"
                    );
                    let call = process.take(*no, answer);
                    if let Some(call) = call {
                        self.heard_by_task(run, &call, answer, last)?;
                    }
                }
                (*position, *wait)
            }
        };
        if position.is_some() || wait.is_some() {
            let at = now + self.dice.span(100, 5 * MS);
            self.queue.add(
                at,
                Event::Taken {
                    slot,
                    run,
                    position,
                    wait,
                },
            );
        }
        let at = now + self.dice.span(100, MS);
        self.queue.add(at, Event::Step { machine, run });
        self.queue.add(now + 25 * MS, Event::Lane { slot, run });
        Ok(())
    }

    /// Whether a task heard what is true.
    fn heard_by_task(
        &self,
        run: RunKey,
        call: &crate::guest::Call,
        answer: &Answer,
        last: (u64, u64),
    ) -> Checked {
        match answer {
            Answer::Outcome(outcome) => {
                let key = (run.run, run.attempt, call.no);
                let decided = self.truth.decided.get(&key);
                let heard = outcome.to_value().to_string();
                hold!(
                    decided == Some(&heard),
                    "a wait has one outcome",
                    "{run:?} heard {heard} of call {}, decided was {decided:?}",
                    call.no
                );
            }
            Answer::Appended { sequence, nonce } => {
                hold!(
                    *nonce == call.nonce,
                    "no double resume",
                    "{run:?} heard of another's record: {call:?}, {answer:?}"
                );
                hold!(
                    (call.no > last.0) == (*sequence > last.1),
                    "stream positions exact",
                    "{run:?} appended {sequence} in call {} and {} in call {}",
                    call.no,
                    last.1,
                    last.0
                );
            }
            Answer::Token(_) | Answer::Counted | Answer::Dropped(_) | Answer::Refused => {}
        }
        Ok(())
    }

    /// The guest lets go of a frame.
    pub(crate) fn acked(&mut self, machine: MachineRef, run: RunKey, position: u64) {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return;
        };
        if found.paused {
            self.queue.add(
                now + 100 * MS,
                Event::Ack {
                    machine,
                    run,
                    position,
                },
            );
            return;
        }
        if let Some(process) = found.guest.processes.get_mut(&run) {
            let exited = process.outbox.iter().any(|sent| {
                sent.position == position && matches!(sent.frame, Frame::Exited { .. })
            });
            process.outbox.retain(|sent| sent.position != position);
            if exited {
                found.guest.processes.remove(&run);
            }
        }
    }

    /// A process runs on.
    pub(crate) fn step(&mut self, machine: MachineRef, run: RunKey) {
        let now = self.now;
        let Some(found) = self.hosts[machine.host].machine(machine) else {
            return;
        };
        // It goes on when the machine does.
        if found.paused {
            return;
        }
        let Some(process) = found.guest.processes.get_mut(&run) else {
            return;
        };
        let next = process.step(now, &mut self.nonces, &mut self.dice);
        if let Next::After(span) = next {
            self.queue.add(now + span, Event::Step { machine, run });
        }
        if let Some(slot) = self.slot_of(machine) {
            self.queue.add(now + 25 * MS, Event::Lane { slot, run });
        }
    }

    pub(crate) fn guest_death(&mut self, host: usize) {
        let machines: Vec<_> = self.hosts[host].machines.keys().copied().collect();
        let Some(id) = self.dice.pick(&machines).copied() else {
            return;
        };
        let record = self.hosts[host].disk.get(&id);
        // A start or restore that is not confirmed fails by itself.
        let live = record.is_some_and(|record| {
            matches!(
                record.phase,
                Phase::Live {
                    confirmed: true,
                    ..
                }
            )
        });
        if !live {
            return;
        }
        let workspace = record.map(|record| record.workspace);
        self.hosts[host].machines.remove(&id);
        if let Some(life) = self.life(host) {
            let found = self
                .slot_refs(life)
                .into_iter()
                .find(|slot| Some(slot.workspace) == workspace);
            if let Some(slot) = found {
                let at = self.now + self.dice.span(MS, 500 * MS);
                self.queue.add(at, Event::Look { slot });
            }
        }
    }
}
