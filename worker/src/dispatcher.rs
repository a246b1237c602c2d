//! Who holds which workspace: gives each assignment to its slot, makes slots and sees them end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use helmr_api::worker::{Assignment, Capacity, HeartbeatAnswer, HeldLease};
use helmr_domain::WorkspaceId;
use helmr_machine::Driver;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::base::Base;
use crate::directive::Directive;
use crate::lease;
use crate::slot::{Entry, Slot};

/// Why an assignment is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The worker goes away.
    Draining,
}

pub(crate) struct Dispatcher<D> {
    base: Arc<Base<D>>,
    capacity: Capacity,
    slots: Mutex<Slots>,
    /// How many workspaces are held.
    held: watch::Sender<usize>,
}

#[derive(Default)]
struct Slots {
    held: HashMap<WorkspaceId, Held>,
    /// The epoch under which a workspace was held last. An assignment of it or an older one comes late.
    over: HashMap<WorkspaceId, u64>,
    /// Set once the worker goes away; for machines that are adopted even then.
    drain_by: Option<Instant>,
    closed: bool,
}

struct Held {
    epoch: u64,
    directive: watch::Sender<Directive>,
    renewed_at: Instant,
    task: AbortOnDropHandle<()>,
}

impl<D: Driver> Dispatcher<D> {
    pub(crate) fn new(base: Arc<Base<D>>, capacity: Capacity) -> Self {
        Self {
            base,
            capacity,
            slots: Mutex::default(),
            held: watch::Sender::new(0),
        }
    }

    pub(crate) fn base(&self) -> &Arc<Base<D>> {
        &self.base
    }

    /// Takes an assignment over. An older one than is known changes nothing.
    pub(crate) fn assign(self: &Arc<Self>, assignment: Assignment) -> Result<(), NotTaken> {
        let (workspace_id, epoch) = (assignment.workspace_id, assignment.epoch);
        let mut slots = self.slots();
        if let Some(held) = slots.held.get(&workspace_id)
            && held.epoch >= epoch
        {
            if held.epoch == epoch {
                held.directive.send_if_modified(|directive| {
                    let newer = directive
                        .assignment
                        .as_ref()
                        .is_none_or(|known| known.revision < assignment.revision);
                    if newer {
                        directive.take(assignment);
                    }
                    newer
                });
            }
            return Ok(());
        }
        if slots
            .over
            .get(&workspace_id)
            .is_some_and(|over| *over >= epoch)
        {
            return Ok(());
        }
        if slots.closed || self.base.draining.is_cancelled() {
            return Err(NotTaken::Draining);
        }
        let mut directive = Directive::default();
        directive.take(assignment);
        self.open(&mut slots, workspace_id, epoch, directive, Entry::Assigned);
        Ok(())
    }

    /// Takes over a machine that an earlier worker left.
    pub(crate) fn adopt(self: &Arc<Self>, workspace_id: WorkspaceId, epoch: u64, entry: Entry) {
        let mut slots = self.slots();
        let directive = Directive {
            drain_by: slots.drain_by,
            ..Directive::default()
        };
        self.open(&mut slots, workspace_id, epoch, directive, entry);
    }

    /// Notes that an epoch is over on this worker.
    pub(crate) fn note_over(&self, workspace_id: WorkspaceId, epoch: u64) {
        let mut slots = self.slots();
        let over = slots.over.entry(workspace_id).or_default();
        *over = epoch.max(*over);
    }

    fn open(
        self: &Arc<Self>,
        slots: &mut Slots,
        workspace_id: WorkspaceId,
        epoch: u64,
        directive: Directive,
        entry: Entry,
    ) {
        let (directive, following) = watch::channel(directive);
        // The lease went through other hands, or is ours again right after a park that is not cleaned up yet.
        let before = slots.held.remove(&workspace_id);
        if let Some(before) = &before {
            before
                .directive
                .send_modify(|directive| directive.lost = true);
        }
        let slot = Slot::new(Arc::clone(&self.base), workspace_id, epoch, following);
        let dispatcher = Arc::downgrade(self);
        let task = tokio::spawn(async move {
            if let Some(before) = before {
                // A slot that panicked has left its machine to whoever comes next.
                drop(before.task.await);
            }
            slot.run(entry).await;
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.close(workspace_id, epoch);
            }
        });
        let held = Held {
            epoch,
            directive,
            renewed_at: Instant::now(),
            task: AbortOnDropHandle::new(task),
        };
        slots.held.insert(workspace_id, held);
        self.held.send_replace(slots.held.len());
    }

    fn close(&self, workspace_id: WorkspaceId, epoch: u64) {
        let mut slots = self.slots();
        let over = slots.over.entry(workspace_id).or_default();
        *over = epoch.max(*over);
        if slots
            .held
            .get(&workspace_id)
            .is_some_and(|held| held.epoch == epoch)
            && let Some(held) = slots.held.remove(&workspace_id)
        {
            // This runs at the end of that very task: let it end by itself.
            drop(held.task.detach());
        }
        self.base.tidy.notify_one();
        self.held.send_replace(slots.held.len());
    }

    pub(crate) fn leases(&self) -> Vec<HeldLease> {
        let slots = self.slots();
        let leases = slots.held.iter().map(|(workspace_id, held)| HeldLease {
            workspace_id: *workspace_id,
            epoch: held.epoch,
        });
        leases.collect()
    }

    /// Whether a slot is at work on a workspace.
    pub(crate) fn holds(&self, workspace_id: WorkspaceId) -> bool {
        self.slots().held.contains_key(&workspace_id)
    }

    /// What is left of the worker's room.
    pub(crate) fn free(&self) -> Capacity {
        let slots = self.slots();
        let mut free = self.capacity;
        // Disks are sparse: what is left is what the host says.
        if let Ok(room) = rustix::fs::statvfs(self.base.directory.workspaces()) {
            free.disk_mib = room.f_bavail.saturating_mul(room.f_frsize) >> 20;
        }
        for held in slots.held.values() {
            free.slots = free.slots.saturating_sub(1);
            if let Some(assignment) = &held.directive.borrow().assignment {
                let machine = &assignment.machine;
                free.cpu_millis = free.cpu_millis.saturating_sub(machine.cpu_millis.into());
                free.memory_mib = free.memory_mib.saturating_sub(machine.memory_bytes >> 20);
            }
        }
        free
    }

    /// Notes what a heartbeat answered that was asked at `asked_at`.
    pub(crate) fn renewed(&self, asked: &[HeldLease], answer: &HeartbeatAnswer, asked_at: Instant) {
        let mut slots = self.slots();
        for lease in asked {
            let Some(held) = slots.held.get_mut(&lease.workspace_id) else {
                continue;
            };
            if held.epoch != lease.epoch {
                continue;
            }
            if lease::is_lost(answer, lease) {
                held.directive
                    .send_modify(|directive| directive.lost = true);
            } else if answer.renewed.contains(lease) {
                held.renewed_at = asked_at;
            }
        }
    }

    /// Has the machines paused whose leases were not renewed for so long, and the others go on.
    pub(crate) fn freeze_expiring(&self, after: Duration) {
        for held in self.slots().held.values() {
            let frozen = held.renewed_at.elapsed() >= after;
            held.directive.send_if_modified(|directive| {
                let changed = directive.frozen != frozen;
                directive.frozen = frozen;
                changed
            });
        }
    }

    /// Has every machine park or stop, at the latest after `grace`.
    pub(crate) fn drain(&self, grace: Duration) {
        let by = Instant::now() + grace;
        let mut slots = self.slots();
        slots.drain_by = Some(by);
        for held in slots.held.values() {
            held.directive
                .send_modify(|directive| directive.drain_by = Some(by));
        }
    }

    /// Waits until nothing is held.
    pub(crate) async fn emptied(&self) {
        // The sender is `self`, so it cannot have gone.
        drop(self.held.subscribe().wait_for(|held| *held == 0).await);
    }

    /// Ends every slot where it stands and takes no more.
    pub(crate) fn abandon(&self) {
        let mut slots = self.slots();
        slots.closed = true;
        slots.held.clear();
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
