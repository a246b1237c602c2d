//! The end of a worker's process in all ways, and the start of one where another one was.

use std::collections::BTreeMap;

use helmr_store::worker::{HeldLease, Leases};

use super::{Phase, Process, Stage, Why};
use crate::event::{Event, Life, Post, Reply, SlotRef};
use crate::plan::{MS, SECOND};
use crate::violation::Checked;
use crate::world::World;

impl World<'_> {
    /// The process is killed; machines and disk stay.
    pub(crate) fn worker_down(&mut self, host: usize) {
        let Some(life) = self.life(host) else { return };
        self.note(|| format!("the worker of host {host} is killed"));
        self.worker_hangs_up(life);
        self.hosts[host].process = None;
        let down = if self.dice.roll(4) == 0 {
            self.dice.span(SECOND, 60 * SECOND)
        } else {
            self.dice.span(10 * MS, 2 * SECOND)
        };
        self.queue.add(self.now + down, Event::WorkerUp { host });
    }

    /// The host goes down: the machines end, the disk stays.
    pub(crate) fn host_down(&mut self, host: usize) {
        self.worker_down(host);
        self.hosts[host].machines.clear();
    }

    /// Everything of the host is gone; another one comes in its place.
    pub(crate) fn disk_lost(&mut self, host: usize) {
        self.host_down(host);
        self.hosts[host].disk.clear();
        if let Some(id) = self.hosts[host].id.take() {
            self.truth.gone.push(id);
        }
    }

    /// The worker is told to end.
    pub(crate) fn drain(&mut self, host: usize) -> Checked {
        let grace = self.dice.span(0, 10 * SECOND);
        let by = self.now + grace;
        let Some(life) = self.life(host) else {
            return Ok(());
        };
        if let Some(process) = self.process(life)
            && process.adopted
        {
            process.draining = Some(by);
            self.queue.add(self.now, Event::Beat { life });
            for slot in self.slot_refs(life) {
                self.queue.add(by, Event::Look { slot });
                self.look(slot)?;
            }
            self.retire(life);
        }
        Ok(())
    }

    /// A worker that drains ends with its last slot.
    pub(super) fn retire(&mut self, life: Life) {
        let Some(process) = self.process(life) else {
            return;
        };
        if process.draining.is_none() || !process.slots.is_empty() {
            return;
        }
        self.note(|| format!("the worker of host {} has drained", life.host));
        self.worker_hangs_up(life);
        self.hosts[life.host].process = None;
        if !self.calm.is_ending() {
            let at = self.now + self.dice.span(MS, 5 * SECOND);
            self.queue.add(at, Event::WorkerUp { host: life.host });
        }
    }

    pub(crate) fn worker_up(&mut self, host: usize) {
        if self.hosts[host].process.is_some() {
            return;
        }
        self.note(|| format!("a worker starts on host {host}"));
        self.hosts[host].lives += 1;
        self.hosts[host].process = Some(Process {
            slots: BTreeMap::new(),
            over: BTreeMap::new(),
            rpcs: BTreeMap::new(),
            last_rpc: 0,
            adopted: false,
            connection: None,
            draining: None,
        });
        if let Some(life) = self.life(host) {
            self.post(life, Why::Register, Post::Register);
        }
    }

    pub(super) fn ask_what_is_ours(&mut self, life: Life) {
        let records = self.hosts[life.host].disk.values();
        let leases: Vec<HeldLease> = records
            .filter(|record| !matches!(record.phase, Phase::Parked(_)))
            .map(|record| HeldLease {
                workspace_id: record.workspace,
                epoch: record.epoch,
            })
            .collect();
        self.post(
            life,
            Why::Adopt,
            Post::Heartbeat {
                leases,
                draining: false,
            },
        );
    }

    pub(super) fn adopt(&mut self, life: Life, reply: &Reply) -> Checked {
        let Reply::Leases(Leases { renewed, .. }) = reply else {
            return Ok(());
        };
        let found: Vec<_> = self.hosts[life.host].disk.keys().copied().collect();
        let mut adopted = Vec::new();
        for id in found {
            let host = &mut self.hosts[life.host];
            let Some(record) = host.disk.get_mut(&id) else {
                continue;
            };
            let lease = HeldLease {
                workspace_id: record.workspace,
                epoch: record.epoch,
            };
            let ours = renewed.contains(&lease);
            match (record.phase, ours) {
                (Phase::Live { .. } | Phase::Parking(_) | Phase::Stopping, true) => {
                    adopted.push((lease, id));
                    continue;
                }
                (Phase::Starting, true) => {
                    host.disk.remove(&id);
                }
                (Phase::Restoring(image), true) => {
                    record.phase = Phase::Parked(image);
                }
                (phase, _) => {
                    // Whatever is left of it may only be kept as an image.
                    let kept = phase
                        .image()
                        .filter(|image| record.images.contains_key(image));
                    match kept {
                        Some(image) => {
                            record.phase = Phase::Parked(image);
                            record.images.retain(|id, _| *id == image);
                        }
                        None => {
                            host.disk.remove(&id);
                        }
                    }
                    if let Some(process) = host.process.as_mut() {
                        let over = process
                            .over
                            .entry(lease.workspace_id)
                            .or_insert(lease.epoch);
                        *over = lease.epoch.max(*over);
                    }
                }
            }
            self.hosts[life.host].machines.remove(&id);
        }
        if let Some(process) = self.process(life) {
            process.adopted = true;
        }
        for (lease, id) in adopted {
            let slot = self.open(life, lease.workspace_id, lease.epoch, id, None);
            let hears = self.dice.span(MS, 3 * SECOND);
            self.stage_in(slot, Stage::Adopting, hears);
        }
        self.connect(life);
        self.queue
            .add(self.now + self.plan.lease_ttl / 6, Event::Beat { life });
        Ok(())
    }

    /// The guest of an adopted machine has greeted, or there is none.
    pub(super) fn heard(&mut self, slot: SlotRef) -> Checked {
        let Some(phase) = self.record(slot).map(|record| record.phase) else {
            return self.died(slot);
        };
        if phase == Phase::Stopping {
            self.finish_stop(slot);
            return Ok(());
        }
        if self.machine_ref(slot).is_none() {
            return self.died(slot);
        }
        self.know_runs(slot);
        self.set_paused(slot, false);
        match phase {
            Phase::Parking(_) => {
                if let Some(record) = self.record(slot) {
                    record.images.clear();
                    record.phase = Phase::Live {
                        confirmed: true,
                        restored_from: None,
                    };
                }
                if let Some(fence) = self.fence_of(slot) {
                    self.stage_with(slot, Stage::Confirming, Post::Unparked(fence));
                }
                Ok(())
            }
            Phase::Live { .. } => {
                self.confirm(slot);
                Ok(())
            }
            Phase::Starting | Phase::Restoring(_) | Phase::Parked(_) | Phase::Stopping => Ok(()),
        }
    }
}
