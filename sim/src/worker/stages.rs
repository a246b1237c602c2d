//! What a slot goes through: start, restore, park, stop, fail, and the loss of its lease at any point.

use helmr_domain::{CheckpointId, Timestamp};
use helmr_store::worker::Origin;

use super::{Machine, Phase, Record, Stage, Why, version};
use crate::event::{Event, Post, Reply, SlotRef};
use crate::guest::Guest;
use crate::plan::{MS, SECOND};
use crate::violation::Checked;
use crate::world::World;

const RESTORES: u32 = 3;

impl World<'_> {
    /// Enters a stage that ends by itself after `span`.
    pub(super) fn stage_in(&mut self, slot: SlotRef, stage: Stage, span: i64) {
        let at = self.now + span;
        if let Some(held) = self.slot(slot) {
            held.stage = stage;
            held.token += 1;
            let token = held.token;
            self.queue.add(at, Event::Stage { slot, token });
        }
    }

    /// Enters a stage that ends with the answer to a post.
    pub(super) fn stage_with(&mut self, slot: SlotRef, stage: Stage, post: Post) {
        if let Some(held) = self.slot(slot) {
            held.stage = stage;
            held.token += 1;
            self.post(slot.life, Why::Stage(slot), post);
        }
    }

    fn takes(&mut self, usual: i64) -> i64 {
        if self.dice.chance(self.plan.slow) {
            self.dice.span(SECOND, 30 * SECOND)
        } else {
            self.dice.span(usual / 2, usual * 2)
        }
    }

    pub(crate) fn stage(&mut self, slot: SlotRef, token: u64) -> Checked {
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if held.token != token {
            return Ok(());
        }
        match held.stage {
            Stage::Preparing => self.bring_up(slot),
            Stage::Starting => {
                if self.dice.chance(self.plan.failing) {
                    return self.fail(slot, "sandbox_failed", false);
                }
                self.start_machine(slot, Guest::default());
                self.set_phase(
                    slot,
                    Phase::Live {
                        confirmed: false,
                        restored_from: None,
                    },
                );
                self.confirm(slot);
                Ok(())
            }
            Stage::Restoring { from, answers } => self.restored(slot, from, answers),
            Stage::Adopting => self.heard(slot),
            Stage::SettingAside { image, draining } => self.set_aside(slot, image, draining),
            Stage::Stopping => self.tell_stop(slot),
            Stage::Confirming
            | Stage::Live
            | Stage::AskingToPark { .. }
            | Stage::Committing { .. }
            | Stage::Unparking
            | Stage::AskingToStop
            | Stage::TellingStop
            | Stage::Failing { .. } => Ok(()),
        }
    }

    pub(super) fn set_phase(&mut self, slot: SlotRef, phase: Phase) {
        if let Some(record) = self.record(slot) {
            record.phase = phase;
        }
    }

    fn bring_up(&mut self, slot: SlotRef) -> Checked {
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        let (machine, epoch) = (held.machine, held.epoch);
        let Some(origin) = held
            .assignment
            .as_ref()
            .map(|assignment| assignment.machine.origin.clone())
        else {
            return Ok(());
        };
        // Another machine of the same workspace that lies here: this one has taken its place.
        let host = &mut self.hosts[slot.life.host];
        let past: Vec<_> = host
            .disk
            .iter()
            .filter(|(id, record)| record.workspace == slot.workspace && **id != machine)
            .map(|(id, _)| *id)
            .collect();
        for id in past {
            host.disk.remove(&id);
            host.machines.remove(&id);
        }
        host.machines.remove(&machine);
        let record = host.disk.entry(machine).or_insert_with(|| Record {
            workspace: slot.workspace,
            epoch,
            phase: Phase::Starting,
            images: std::collections::BTreeMap::new(),
        });
        record.epoch = epoch;
        match origin {
            Origin::Seed | Origin::Version { .. } => {
                record.phase = Phase::Starting;
                let takes = self.takes(150 * MS);
                self.stage_in(slot, Stage::Starting, takes);
                Ok(())
            }
            Origin::Checkpoint { checkpoint_id, .. } => {
                record.phase = Phase::Parked(checkpoint_id);
                if !record.images.contains_key(&checkpoint_id) {
                    return self.fail(slot, "restore_failed", false);
                }
                self.restore(slot, checkpoint_id);
                Ok(())
            }
        }
    }

    fn restore(&mut self, slot: SlotRef, from: CheckpointId) {
        self.set_phase(slot, Phase::Restoring(from));
        let Some(held) = self.slot(slot) else { return };
        held.tries += 1;
        let deadline = (5 * SECOND) << (held.tries - 1);
        let answers = !self.dice.chance(self.plan.silent);
        let takes = self.takes(150 * MS);
        let stage = Stage::Restoring {
            from,
            answers: answers && takes < deadline,
        };
        self.stage_in(slot, stage, takes.min(deadline));
    }

    fn restored(&mut self, slot: SlotRef, from: CheckpointId, answers: bool) -> Checked {
        if !answers {
            let Some(held) = self.slot(slot) else {
                return Ok(());
            };
            if held.tries < RESTORES {
                self.restore(slot, from);
                return Ok(());
            }
            self.set_phase(slot, Phase::Parked(from));
            return self.fail(slot, "restore_failed", true);
        }
        let image = self
            .record(slot)
            .and_then(|record| record.images.get(&from).cloned());
        let Some(guest) = image else {
            return self.fail(slot, "restore_failed", true);
        };
        self.start_machine(slot, guest);
        self.set_phase(
            slot,
            Phase::Live {
                confirmed: false,
                restored_from: Some(from),
            },
        );
        self.confirm(slot);
        Ok(())
    }

    /// Has processes run, and their lanes know of them.
    fn start_machine(&mut self, slot: SlotRef, guest: Guest) {
        let host = &mut self.hosts[slot.life.host];
        host.machines_made += 1;
        let number = host.machines_made;
        let Some(id) = self.slot(slot).map(|held| held.machine) else {
            return;
        };
        self.hosts[slot.life.host].machines.insert(
            id,
            Machine {
                number,
                paused: false,
                guest,
            },
        );
        self.know_runs(slot);
        self.set_paused(slot, false);
    }

    /// The runs that the guest greets with.
    pub(super) fn know_runs(&mut self, slot: SlotRef) {
        let runs: Vec<_> = self
            .guest(slot)
            .map_or_else(Vec::new, |guest| guest.processes.keys().copied().collect());
        if let Some(held) = self.slot(slot) {
            for run in runs {
                held.lanes.entry(run).or_default();
            }
        }
        self.know_execs(slot);
    }

    /// Has the control plane know that the machine is live; nothing acts in its name before.
    pub(super) fn confirm(&mut self, slot: SlotRef) {
        if let Some(fence) = self.fence_of(slot) {
            self.stage_with(slot, Stage::Confirming, Post::Live(fence));
        }
    }

    pub(super) fn stage_answered(&mut self, slot: SlotRef, reply: &Reply) -> Checked {
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        let stale = matches!(reply, Reply::Stale);
        let refused = matches!(reply, Reply::Refused(_));
        match held.stage {
            Stage::Confirming if stale || refused => self.lost(slot),
            Stage::Confirming => {
                self.set_phase(
                    slot,
                    Phase::Live {
                        confirmed: true,
                        restored_from: None,
                    },
                );
                if let Some(record) = self.record(slot) {
                    record.images.clear();
                }
                self.go_live(slot)
            }
            Stage::AskingToPark { .. } | Stage::Unparking | Stage::AskingToStop if stale => {
                self.lost(slot)
            }
            Stage::AskingToPark { draining } => {
                if refused && !(draining && matches!(reply, Reply::Refused("busy"))) {
                    return self.stays(slot);
                }
                let now = Timestamp::from_micros(self.now);
                let image = CheckpointId::new(now, self.dice.bytes());
                self.set_phase(slot, Phase::Parking(image));
                self.set_paused(slot, true);
                if !draining && self.is_wanted(slot) {
                    return self.stay_live(slot);
                }
                let takes = self.takes(100 * MS);
                self.stage_in(slot, Stage::SettingAside { image, draining }, takes);
                Ok(())
            }
            Stage::Unparking => self.stays(slot),
            Stage::Committing { image } => {
                if refused {
                    if let Some(held) = self.slot(slot) {
                        held.released = false;
                    }
                    return self.stay_live(slot);
                }
                // Stale: either an answer was lost and the park stands, or the lease was lost before.
                self.set_phase(slot, Phase::Parked(image));
                self.close(slot);
                Ok(())
            }
            Stage::AskingToStop if refused => self.stays(slot),
            Stage::AskingToStop => {
                self.finish_stop(slot);
                Ok(())
            }
            Stage::TellingStop => {
                if stale || refused {
                    return self.lost(slot);
                }
                self.remove(slot);
                self.close(slot);
                Ok(())
            }
            Stage::Failing { kept } => {
                if !kept {
                    self.remove(slot);
                }
                self.close(slot);
                Ok(())
            }
            Stage::Preparing
            | Stage::Starting
            | Stage::Restoring { .. }
            | Stage::Adopting
            | Stage::Live
            | Stage::SettingAside { .. }
            | Stage::Stopping => Ok(()),
        }
    }

    fn set_aside(&mut self, slot: SlotRef, image: CheckpointId, draining: bool) -> Checked {
        if self.dice.chance(self.plan.failing) {
            if let Some(held) = self.slot(slot) {
                held.failures += 1;
            }
            return self.stay_live(slot);
        }
        let Some(guest) = self.guest(slot).cloned() else {
            return self.died(slot);
        };
        if let Some(record) = self.record(slot) {
            record.images.insert(image, guest);
        }
        let version = version(&mut self.dice, self.now);
        let Some(fence) = self.fence_of(slot) else {
            return Ok(());
        };
        if let Some(held) = self.slot(slot) {
            held.released = true;
        }
        let post = Post::Parked {
            fence,
            checkpoint: image,
            version,
            draining,
        };
        self.stage_with(slot, Stage::Committing { image }, post);
        Ok(())
    }

    /// Has the machine go on after a park that was given up.
    fn stay_live(&mut self, slot: SlotRef) -> Checked {
        if self.machine_ref(slot).is_none() {
            return self.died(slot);
        }
        self.set_paused(slot, false);
        if let Some(record) = self.record(slot) {
            record.images.clear();
            record.phase = Phase::Live {
                confirmed: true,
                restored_from: None,
            };
        }
        if let Some(fence) = self.fence_of(slot) {
            self.stage_with(slot, Stage::Unparking, Post::Unparked(fence));
        }
        Ok(())
    }

    fn stays(&mut self, slot: SlotRef) -> Checked {
        let now = self.now;
        if let Some(held) = self.slot(slot) {
            let pause = (250 * MS) << held.failures.min(6);
            held.not_before = now + pause;
            held.stage = Stage::Live;
            self.queue.add(now + pause, Event::Look { slot });
        }
        self.look(slot)
    }

    /// Ends the machine and keeps its files.
    pub(super) fn finish_stop(&mut self, slot: SlotRef) {
        self.set_phase(slot, Phase::Stopping);
        self.kill(slot);
        let takes = self.takes(50 * MS);
        self.stage_in(slot, Stage::Stopping, takes);
    }

    fn tell_stop(&mut self, slot: SlotRef) -> Checked {
        if self
            .slot(slot)
            .is_some_and(|held| held.assignment.is_none())
        {
            // Its keys come with the assignment.
            self.stage_in(slot, Stage::Stopping, SECOND);
            return Ok(());
        }
        let version = (self.dice.roll(2) == 0).then(|| version(&mut self.dice, self.now));
        let Some(fence) = self.fence_of(slot) else {
            return Ok(());
        };
        if let Some(held) = self.slot(slot) {
            held.released = true;
        }
        self.stage_with(slot, Stage::TellingStop, Post::Stopped { fence, version });
        Ok(())
    }

    pub(super) fn died(&mut self, slot: SlotRef) -> Checked {
        self.fail(slot, "machine_died", false)
    }

    fn fail(&mut self, slot: SlotRef, kind: &'static str, checkpoint_kept: bool) -> Checked {
        self.kill(slot);
        let parked = self
            .record(slot)
            .is_some_and(|record| matches!(record.phase, Phase::Parked(_)));
        let kept = checkpoint_kept || parked;
        if kept {
            self.keep_or_remove(slot);
        }
        let Some(fence) = self.fence_of(slot) else {
            return Ok(());
        };
        self.note(|| format!("host {} gives up a machine: {kind}", slot.life.host));
        if let Some(process) = self.process(slot.life) {
            Self::forget_posts(process, slot);
        }
        let post = Post::Failed {
            fence,
            kind,
            kept: checkpoint_kept,
        };
        self.stage_with(slot, Stage::Failing { kept }, post);
        Ok(())
    }

    /// The lease is another's: everything ends without another write.
    pub(super) fn lost(&mut self, slot: SlotRef) -> Checked {
        if self.slot(slot).is_none() {
            return Ok(());
        }
        self.note(|| format!("host {} lost {}", slot.life.host, slot.workspace));
        self.kill(slot);
        self.keep_or_remove(slot);
        self.close(slot);
        Ok(())
    }

    /// A newer assignment takes a slot's place.
    pub(super) fn succeeded(&mut self, slot: SlotRef) -> Checked {
        self.lost(slot)
    }

    fn kill(&mut self, slot: SlotRef) {
        if let Some(machine) = self.machine_ref(slot) {
            self.hosts[machine.host].machines.remove(&machine.id);
        }
    }

    fn remove(&mut self, slot: SlotRef) {
        if let Some(id) = self.slot(slot).map(|held| held.machine) {
            self.hosts[slot.life.host].disk.remove(&id);
        }
    }

    /// Keeps a memory image that may be all there is of the machine, else removes everything.
    fn keep_or_remove(&mut self, slot: SlotRef) {
        let Some(record) = self.record(slot) else {
            return;
        };
        match record
            .phase
            .image()
            .filter(|id| record.images.contains_key(id))
        {
            Some(image) => {
                record.phase = Phase::Parked(image);
                record.images.retain(|id, _| *id == image);
            }
            None => self.remove(slot),
        }
    }

    /// The slot is over.
    pub(super) fn close(&mut self, slot: SlotRef) {
        self.kill(slot);
        let Some(process) = self.process(slot.life) else {
            return;
        };
        if let Some(held) = process.slots.remove(&slot.workspace) {
            let over = process.over.entry(slot.workspace).or_insert(held.epoch);
            *over = held.epoch.max(*over);
        }
        Self::forget_posts(process, slot);
        self.retire(slot.life);
    }

    /// Whether something has come for a run to do since parking was decided.
    fn is_wanted(&mut self, slot: SlotRef) -> bool {
        let Some(held) = self.slot(slot) else {
            return false;
        };
        held.assignment.as_ref().is_some_and(|assignment| {
            let mut runs = assignment.runs.iter();
            runs.any(|run| !run.outcomes.is_empty() || run.stop.is_some() || run.waiting.is_none())
        })
    }
}
