//! A live machine: its runs are made what the assignment says, until it is to be parked or stopped.

use std::rc::Rc;

use helmr_store::worker::{AssignedRun, Assignment, Want};

use super::{Stage, Why, run_fence};
use crate::event::{Ending, Event, Line, Post, Reply, SlotRef};
use crate::guest::{Answer, RunKey};
use crate::plan::{MS, SECOND};
use crate::violation::Checked;
use crate::world::World;

const STRAY_FOR: i64 = 15 * SECOND;

fn key_of(run: &AssignedRun) -> RunKey {
    RunKey {
        run: run.run_id,
        attempt: run.attempt,
    }
}

impl World<'_> {
    pub(super) fn go_live(&mut self, slot: SlotRef) -> Checked {
        if let Some(held) = self.slot(slot) {
            held.stage = Stage::Live;
        }
        self.look(slot)
    }

    /// Looks at a live machine: what is to be done in it, and whether it is to park or stop.
    pub(crate) fn look(&mut self, slot: SlotRef) -> Checked {
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if held.stage != Stage::Live || held.frozen {
            return Ok(());
        }
        if self.machine_ref(slot).is_none() {
            return self.died(slot);
        }
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if let Some(assignment) = held.assignment.clone() {
            self.reconcile(slot, &assignment)?;
            self.reconcile_execs(slot, &assignment)?;
            self.open_up(slot);
            return self.decide(slot, &assignment);
        }
        let draining = self.process(slot.life).and_then(|process| process.draining);
        if let Some(by) = draining {
            // Adopted, and no assignment came: left running for the next worker.
            if self.now >= by + 15 * SECOND {
                self.leave(slot);
            } else {
                self.queue.add(by + 15 * SECOND, Event::Look { slot });
            }
        }
        Ok(())
    }

    fn open_up(&mut self, slot: SlotRef) {
        let Some(held) = self.slot(slot) else { return };
        if !held.open {
            held.open = true;
            let runs: Vec<_> = held.lanes.keys().copied().collect();
            let execs: Vec<_> = held.execs.keys().copied().collect();
            for run in runs {
                self.queue.add(self.now + MS, Event::Lane { slot, run });
            }
            for exec in execs {
                self.queue
                    .add(self.now + MS, Event::ExecLane { slot, exec });
            }
        }
    }

    fn reconcile(&mut self, slot: SlotRef, assignment: &Rc<Assignment>) -> Checked {
        for run in &assignment.runs {
            let key = key_of(run);
            let Some(held) = self.slot(slot) else {
                return Ok(());
            };
            if held.over.contains(&key) {
                continue;
            }
            if !held.lanes.contains_key(&key) {
                if run.stop.is_some() {
                    held.over.insert(key);
                    self.tell_end(slot, key, Ending::Stopped);
                } else if run.started {
                    held.over.insert(key);
                    self.tell_end(slot, key, Ending::Exited);
                } else if held.launching.insert(key) {
                    self.launch(slot, key);
                }
                continue;
            }
            if let Some(stop) = &run.stop {
                let left = (stop.kill_at.as_micros() - self.clock()).max(0);
                self.carry_out_stop(slot, key, self.now + left);
            }
            for outcome in &run.outcomes {
                self.deliver(slot, key, outcome);
            }
        }
        self.end_strays(slot, assignment);
        Ok(())
    }

    fn launch(&mut self, slot: SlotRef, key: RunKey) {
        if let Some(fence) = self.fence_of(slot) {
            let post = Post::Input(run_fence(fence.lease, key));
            self.post(slot.life, Why::Launch(slot, key), post);
        }
    }

    /// Asks for a run's process, now that everything it needs is there.
    pub(super) fn launched(&mut self, slot: SlotRef, key: RunKey, reply: &Reply) -> Checked {
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        held.launching.remove(&key);
        let wanted = held.assignment.as_ref().and_then(|assignment| {
            let mut runs = assignment.runs.iter();
            runs.find(|run| key_of(run) == key)
                .map(|run| run.stop.is_some())
        });
        let known = held.lanes.contains_key(&key) || held.over.contains(&key);
        match (reply, wanted) {
            (Reply::Session(session), Some(false)) if !known => {
                held.lanes.entry(key).or_default();
                self.say(slot, key, Line::Start(*session));
                Ok(())
            }
            (Reply::Stale, _) => self.lost(slot),
            (Reply::Refused(_), Some(_)) if !known => {
                held.over.insert(key);
                self.tell_end(slot, key, Ending::Exited);
                Ok(())
            }
            _ => self.look(slot),
        }
    }

    /// Tells the end of a run that has no process.
    fn tell_end(&mut self, slot: SlotRef, key: RunKey, ending: Ending) {
        if let Some(fence) = self.fence_of(slot) {
            let post = Post::Finished {
                fence: run_fence(fence.lease, key),
                ending,
                untaken: Vec::new(),
            };
            self.post(slot.life, Why::Aside(slot), post);
        }
    }

    fn carry_out_stop(&mut self, slot: SlotRef, key: RunKey, kill_at: i64) {
        let now = self.now;
        let Some(held) = self.slot(slot) else { return };
        let tell = held.told.insert(key);
        let due = now >= kill_at;
        let kill = due && held.killed.insert(key);
        if tell {
            self.say(slot, key, Line::Cancel);
        }
        if kill {
            self.say(slot, key, Line::Kill);
        } else if !due && tell {
            self.queue.add(kill_at, Event::Look { slot });
        }
    }

    /// Sends an outcome once; the control plane is told when the guest has it.
    fn deliver(&mut self, slot: SlotRef, key: RunKey, outcome: &helmr_store::worker::Outcome) {
        let Some(held) = self.slot(slot) else { return };
        if !held.sent.insert(outcome.wait_id) {
            return;
        }
        held.delivering += 1;
        held.lanes.entry(key).or_default().undelivered += 1;
        let line = Line::Answer {
            no: outcome.call_no,
            answer: Answer::Outcome(outcome.outcome.clone()),
            position: None,
            wait: Some(outcome.wait_id),
        };
        self.say(slot, key, line);
    }

    /// Kills processes whose runs are over for the control plane and that do not leave by themselves.
    fn end_strays(&mut self, slot: SlotRef, assignment: &Assignment) {
        let now = self.now;
        let Some(held) = self.slot(slot) else { return };
        let runs: Vec<_> = held.lanes.keys().copied().collect();
        for run in runs {
            let Some(held) = self.slot(slot) else { return };
            if assignment.runs.iter().any(|listed| key_of(listed) == run) {
                held.strays.remove(&run);
                continue;
            }
            let fresh = !held.strays.contains_key(&run);
            let due = *held.strays.entry(run).or_insert(now + STRAY_FOR);
            let kill = now >= due && held.killed.insert(run);
            if kill {
                self.say(slot, run, Line::Kill);
            } else if fresh {
                self.queue.add(due, Event::Look { slot });
            }
        }
    }

    fn decide(&mut self, slot: SlotRef, assignment: &Assignment) -> Checked {
        let now = self.now;
        let busy = self.is_busy(slot);
        let draining = self.process(slot.life).and_then(|process| process.draining);
        let ending = self.calm.is_ending();
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        let runs: Vec<&AssignedRun> = assignment
            .runs
            .iter()
            .filter(|run| !held.over.contains(&key_of(run)))
            .collect();
        let inside: Vec<RunKey> = held.lanes.keys().chain(&held.launching).copied().collect();
        let listed = assignment.execs.iter();
        let execs = !held.execs.is_empty()
            || listed
                .map(|exec| exec.id)
                .any(|exec| !held.execs_over.contains(&exec));
        if !runs.is_empty() || !inside.is_empty() || execs {
            held.idle_since = now;
        }
        let busy = busy || !held.launching.is_empty();
        let (not_before, idle_since, failures) = (held.not_before, held.idle_since, held.failures);
        // Another worker comes, except at the very end, when nothing fails any more.
        if draining.is_some() && failures >= 3 && !ending {
            self.leave(slot);
            return Ok(());
        }
        let step = if runs.is_empty() {
            match draining {
                Some(by) if execs => Some((by, Some(true))),
                _ if inside.is_empty() && !busy && !execs => {
                    let at_once = draining.is_some() || assignment.want == Want::Stop;
                    let due = if at_once {
                        now
                    } else {
                        idle_since + assignment.auto_stop_after.as_micros()
                    };
                    Some((due, None))
                }
                Some(by) => Some((by, None)),
                None => None,
            }
        } else {
            let strangers = inside
                .iter()
                .any(|inside| !runs.iter().any(|run| key_of(run) == *inside));
            let rests = |run: &AssignedRun| {
                run.waiting.is_some() && run.outcomes.is_empty() && run.stop.is_none()
            };
            let rest = !busy && !execs && !strangers && runs.iter().all(|run| rests(run));
            match (rest, draining) {
                (true, Some(_)) => Some((now, Some(true))),
                (true, None) => Some((self.hot_until(&runs), Some(false))),
                (false, Some(by)) => Some((by, Some(true))),
                (false, None) => None,
            }
        };
        let Some((due, park)) = step else {
            return Ok(());
        };
        let due = due.max(not_before);
        if now < due {
            self.queue.add(due, Event::Look { slot });
            return Ok(());
        }
        let Some(fence) = self.fence_of(slot) else {
            return Ok(());
        };
        match park {
            Some(draining) => {
                self.stage_with(slot, Stage::AskingToPark { draining }, Post::Parking(fence))
            }
            None => self.stage_with(slot, Stage::AskingToStop, Post::Stopping(fence)),
        }
        Ok(())
    }

    /// When the last hot window ends, which is told as a span.
    fn hot_until(&self, runs: &[&AssignedRun]) -> i64 {
        let windows = runs.iter().filter_map(|run| run.waiting).map(|wait| {
            let elapsed = (self.clock() - wait.since.as_micros()).max(0);
            self.now + (wait.hot_window.as_micros() - elapsed).max(0)
        });
        windows.max().unwrap_or(self.now)
    }

    /// Frames of the guest, or outcomes, that are being dealt with.
    fn is_busy(&mut self, slot: SlotRef) -> bool {
        let now = self.now;
        let unsettled = self.guest(slot).is_some_and(|guest| {
            let mut processes = guest.processes.values();
            let mut execs = guest.execs.values();
            processes.any(|process| process.outbox.iter().any(|sent| sent.visible <= now))
                || execs.any(|exec| exec.outbox.iter().any(|sent| sent.visible <= now))
        });
        let Some(held) = self.slot(slot) else {
            return false;
        };
        unsettled || held.delivering > 0 || held.lanes.values().any(|lane| lane.handling.is_some())
    }

    /// Sends a line to a process of the machine.
    pub(super) fn say(&mut self, slot: SlotRef, run: RunKey, line: Line) {
        let Some(machine) = self.machine_ref(slot) else {
            return;
        };
        let at = self.now + self.dice.span(100, 5 * MS);
        self.queue.add(
            at,
            Event::Line {
                machine,
                slot,
                run,
                line: Rc::new(line),
            },
        );
    }

    /// Leaves the machine running for the next worker.
    fn leave(&mut self, slot: SlotRef) {
        if let Some(process) = self.process(slot.life) {
            process.slots.remove(&slot.workspace);
            Self::forget_posts(process, slot);
        }
        self.retire(slot.life);
    }
}
