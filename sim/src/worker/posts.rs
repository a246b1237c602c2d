//! The worker's side of posts, repeated until they are answered, and of its connection and heartbeat.

use std::rc::Rc;

use helmr_store::worker::HeldLease;

use super::{Process, Slot, Why};
use crate::event::{Event, Life, Post, Reply, SlotRef};
use crate::plan::{MS, SECOND};
use crate::violation::Checked;
use crate::world::World;

impl World<'_> {
    /// Posts until there is an answer.
    pub(super) fn post(&mut self, life: Life, why: Why, post: Post) {
        let Some(process) = self.process(life) else {
            return;
        };
        process.last_rpc += 1;
        let rpc = process.last_rpc;
        process.rpcs.insert(rpc, (why, Rc::new(post)));
        self.repost(life, rpc);
    }

    pub(crate) fn repost(&mut self, life: Life, rpc: u64) {
        let Some(process) = self.process(life) else {
            return;
        };
        let Some((why, post)) = process.rpcs.get(&rpc) else {
            return;
        };
        let once = matches!(why, Why::Beat { .. });
        let post = Rc::clone(post);
        let mut arrives = false;
        // A connection is made once.
        let doubled = self.is_doubled() && !matches!(*post, Post::Connect);
        for _ in 0..=usize::from(doubled) {
            if let Some(delay) = self.delay() {
                arrives = true;
                let post = Rc::clone(&post);
                self.queue
                    .add(self.now + delay, Event::Post { life, rpc, post });
            }
        }
        if !arrives && !once {
            let at = self.now + self.dice.span(2 * SECOND, 30 * SECOND);
            self.queue.add(at, Event::Repost { life, rpc });
        }
    }

    pub(crate) fn replied(&mut self, life: Life, rpc: u64, reply: &Reply) -> Checked {
        let Some(process) = self.process(life) else {
            return Ok(());
        };
        let Some((why, post)) = process.rpcs.remove(&rpc) else {
            return Ok(());
        };
        match why {
            Why::Register => {
                if let Reply::Registered { id, credential } = reply {
                    let host = &mut self.hosts[life.host];
                    host.id = Some(*id);
                    host.credential = credential.unwrap_or(host.credential);
                }
                self.ask_what_is_ours(life);
                Ok(())
            }
            Why::Adopt => self.adopt(life, reply),
            Why::Connect => {
                match reply {
                    Reply::Connected(number) => {
                        let control = self.control.life;
                        let mut open = self.control.connections.values();
                        if !open.any(|open| *open == (life, *number)) {
                            // It has ended already.
                            self.worker_lost_control(life);
                        } else if let Some(process) = self.process(life) {
                            process.connection = Some((*number, control));
                        }
                    }
                    _ => self.queue.add(self.now + SECOND, Event::Reconnect { life }),
                }
                Ok(())
            }
            Why::Beat { asked_at } => {
                if let (Reply::Leases(leases), Post::Heartbeat { leases: asked, .. }) =
                    (reply, &*post)
                {
                    self.renewed(life, asked, leases, asked_at)?;
                }
                Ok(())
            }
            Why::Stage(slot) => self.stage_answered(slot, reply),
            Why::Launch(slot, run) => self.launched(slot, run, reply),
            Why::Frame(slot, run, position) => self.frame_answered(slot, run, position, reply),
            Why::Exit(slot, run, position) => self.exit_told(slot, run, position, reply),
            Why::Deliver(slot, run) => self.delivered(slot, run, reply),
            Why::ExecBegun(slot) => {
                if let Some(held) = self.slot(slot) {
                    held.delivering = held.delivering.saturating_sub(1);
                }
                match reply {
                    Reply::Stale => self.lost(slot),
                    _ => self.look(slot),
                }
            }
            Why::ExecFrame(slot, exec, position) => {
                self.exec_frame_answered(slot, exec, position, reply)
            }
            Why::ExecInput(slot, exec) => self.exec_input_read(slot, exec, reply),
            Why::Aside(slot) => match reply {
                Reply::Stale => self.lost(slot),
                _ => self.look(slot),
            },
        }
    }

    /// What a worker's tasks asked for ends with the slot they belonged to.
    pub(super) fn forget_posts(process: &mut Process, of: SlotRef) {
        process.rpcs.retain(|_, (why, _)| match why {
            Why::Register | Why::Adopt | Why::Connect | Why::Beat { .. } => true,
            Why::Stage(slot)
            | Why::Launch(slot, _)
            | Why::Frame(slot, _, _)
            | Why::Exit(slot, _, _)
            | Why::Deliver(slot, _)
            | Why::ExecBegun(slot)
            | Why::ExecFrame(slot, _, _)
            | Why::ExecInput(slot, _)
            | Why::Aside(slot) => *slot != of,
        });
    }

    pub(crate) fn connect(&mut self, life: Life) {
        let Some(process) = self.process(life) else {
            return;
        };
        if process.connection.is_some()
            || process
                .rpcs
                .values()
                .any(|(why, _)| matches!(why, Why::Connect))
        {
            return;
        }
        self.post(life, Why::Connect, Post::Connect);
    }

    /// Whether nobody waits for the answer to a post any more.
    pub(crate) fn is_unheard(&mut self, life: Life, rpc: u64) -> bool {
        self.process(life)
            .is_none_or(|process| !process.rpcs.contains_key(&rpc))
    }

    /// A connection has ended because there is a newer one.
    pub(crate) fn superseded(&mut self, life: Life, connection: u64) {
        let known = self.process(life).and_then(|process| process.connection);
        if known.is_some_and(|(number, _)| number == connection) {
            self.worker_lost_control(life);
        }
    }

    /// The control plane is gone, and with it the connection.
    pub(crate) fn worker_lost_control(&mut self, life: Life) {
        if let Some(process) = self.process(life) {
            process.connection = None;
            let at = self.now + self.dice.span(20 * MS, 2 * SECOND);
            self.queue.add(at, Event::Reconnect { life });
        }
    }

    /// The worker gives its connection up, or is gone; the control plane notices later.
    pub(crate) fn worker_hangs_up(&mut self, life: Life) {
        let Some(process) = self.process(life) else {
            return;
        };
        let Some((connection, control)) = process.connection.take() else {
            return;
        };
        let noticed = self.now + self.dice.span(MS, 20 * SECOND);
        self.queue.add(
            noticed,
            Event::HungUp {
                life,
                connection,
                control,
            },
        );
        let again = self.now + self.dice.span(20 * MS, 2 * SECOND);
        self.queue.add(again, Event::Reconnect { life });
    }

    pub(crate) fn beat(&mut self, life: Life) -> Checked {
        let interval = self.plan.lease_ttl / 6;
        let now = self.now;
        let freeze_after = self.plan.lease_ttl / 8 * 5;
        let Some(process) = self.process(life) else {
            return Ok(());
        };
        let leases: Vec<HeldLease> = process
            .slots
            .iter()
            .map(|(workspace, slot)| HeldLease {
                workspace_id: *workspace,
                epoch: slot.epoch,
            })
            .collect();
        let draining = process.draining.is_some();
        // Answers that are still out are not waited for.
        process
            .rpcs
            .retain(|_, (why, _)| !matches!(why, Why::Beat { .. }));
        let idle = leases.is_empty();
        self.post(
            life,
            Why::Beat { asked_at: now },
            Post::Heartbeat { leases, draining },
        );
        self.queue.add(
            now + if idle { interval * 2 } else { interval },
            Event::Beat { life },
        );
        for slot in self.slot_refs(life) {
            let Some(held) = self.slot(slot) else {
                continue;
            };
            let frozen = now - held.renewed_at >= freeze_after;
            if held.frozen != frozen && held.stage == super::Stage::Live {
                held.frozen = frozen;
                self.set_paused(slot, frozen);
                self.look(slot)?;
            }
        }
        Ok(())
    }

    fn renewed(
        &mut self,
        life: Life,
        asked: &[HeldLease],
        answer: &helmr_store::worker::Leases,
        asked_at: i64,
    ) -> Checked {
        for lease in asked {
            let Some(process) = self.process(life) else {
                return Ok(());
            };
            let Some(held) = process.slots.get_mut(&lease.workspace_id) else {
                continue;
            };
            if held.epoch != lease.epoch {
                continue;
            }
            let slot = SlotRef {
                life,
                workspace: lease.workspace_id,
                number: held.number,
            };
            if answer.renewed.contains(lease) {
                held.renewed_at = held.renewed_at.max(asked_at);
                self.thaw(slot)?;
            } else if answer.lost.contains(&lease.workspace_id) && !held.released {
                self.lost(slot)?;
            }
        }
        Ok(())
    }

    fn thaw(&mut self, slot: SlotRef) -> Checked {
        let (now, after) = (self.now, self.plan.lease_ttl / 8 * 5);
        let Some(held) = self.slot(slot) else {
            return Ok(());
        };
        if held.frozen && now - held.renewed_at < after && held.stage == super::Stage::Live {
            held.frozen = false;
            self.set_paused(slot, false);
            return self.look(slot);
        }
        Ok(())
    }

    /// Pauses a slot's machine, or has it go on.
    pub(super) fn set_paused(&mut self, slot: SlotRef, paused: bool) {
        let Some(machine) = self.machine_ref(slot) else {
            return;
        };
        if let Some(found) = self.hosts[machine.host].machine(machine) {
            found.paused = paused;
            let runs: Vec<_> = found.guest.processes.keys().copied().collect();
            let execs: Vec<_> = found.guest.execs.keys().copied().collect();
            if !paused {
                for exec in execs {
                    let at = self.now + self.dice.span(MS, 10 * MS);
                    self.queue.add(at, Event::ExecStep { machine, exec });
                    self.queue.add(at, Event::ExecLane { slot, exec });
                }
                for run in runs {
                    let at = self.now + self.dice.span(MS, 10 * MS);
                    self.queue.add(at, Event::Step { machine, run });
                    self.queue.add(at, Event::Lane { slot, run });
                }
            }
        }
    }

    pub(crate) fn pushed_to(
        &mut self,
        life: Life,
        push: u64,
        control: u64,
        assignment: Rc<helmr_store::worker::Assignment>,
    ) -> Checked {
        let now = self.now;
        let cut = now < self.hosts[life.host].cut_until;
        let Some(process) = self.process(life) else {
            return Ok(());
        };
        // A connection that ended took what was on it along.
        if cut || process.connection.is_none_or(|(_, of)| of != control) || !process.adopted {
            return Ok(());
        }
        let taken = self.assign(life, assignment)?;
        if let Some(delay) = self.delay() {
            self.queue.add(
                now + delay,
                Event::Pushed {
                    push,
                    control,
                    taken,
                },
            );
        }
        Ok(())
    }

    /// Takes an assignment over. An older one than is known changes nothing.
    fn assign(
        &mut self,
        life: Life,
        assignment: Rc<helmr_store::worker::Assignment>,
    ) -> Checked<bool> {
        let (workspace, epoch) = (assignment.workspace_id, assignment.epoch);
        let Some(process) = self.process(life) else {
            return Ok(false);
        };
        if let Some(held) = process.slots.get_mut(&workspace)
            && held.epoch >= epoch
        {
            if held.epoch == epoch {
                let newer = held
                    .assignment
                    .as_ref()
                    .is_none_or(|known| known.revision < assignment.revision);
                if newer {
                    held.assignment = Some(assignment);
                    let slot = SlotRef {
                        life,
                        workspace,
                        number: held.number,
                    };
                    self.look(slot)?;
                }
            }
            return Ok(true);
        }
        if process
            .over
            .get(&workspace)
            .is_some_and(|over| *over >= epoch)
        {
            return Ok(true);
        }
        if process.draining.is_some() {
            return Ok(false);
        }
        if let Some(before) = process.slots.get(&workspace) {
            // The lease went through other hands, or is ours again right after a park that is not cleaned up yet.
            let before = SlotRef {
                life,
                workspace,
                number: before.number,
            };
            self.succeeded(before)?;
        }
        let machine = assignment.machine.materialization_id;
        let slot = self.open(life, workspace, epoch, machine, Some(assignment));
        let prepare = self.dice.span(MS, 50 * MS);
        self.stage_in(slot, super::Stage::Preparing, prepare);
        Ok(true)
    }

    pub(super) fn open(
        &mut self,
        life: Life,
        workspace: helmr_domain::WorkspaceId,
        epoch: helmr_domain::Epoch,
        machine: helmr_domain::MaterializationId,
        assignment: Option<Rc<helmr_store::worker::Assignment>>,
    ) -> SlotRef {
        let now = self.now;
        let host = &mut self.hosts[life.host];
        host.slots_made += 1;
        let number = host.slots_made;
        let slot = Slot {
            number,
            epoch,
            machine,
            assignment,
            frozen: false,
            renewed_at: now,
            stage: super::Stage::Preparing,
            token: 0,
            tries: 0,
            released: false,
            open: false,
            lanes: std::collections::BTreeMap::new(),
            launching: std::collections::BTreeSet::new(),
            sent: std::collections::BTreeSet::new(),
            delivering: 0,
            over: std::collections::BTreeSet::new(),
            told: std::collections::BTreeSet::new(),
            killed: std::collections::BTreeSet::new(),
            strays: std::collections::BTreeMap::new(),
            execs: std::collections::BTreeMap::new(),
            execs_over: std::collections::BTreeSet::new(),
            idle_since: now,
            not_before: now,
            failures: 0,
        };
        if let Some(process) = host.process.as_mut() {
            process.slots.insert(workspace, slot);
        }
        SlotRef {
            life,
            workspace,
            number,
        }
    }
}
