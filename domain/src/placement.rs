//! Which worker a machine goes to. Pure: a snapshot in, a plan out.
//!
//! CPU is a quota and overcommitted, memory is reserved, slots are counted. Wakes come before new starts, so the caller
//! gives them first.

use crate::{WorkerId, WorkspaceId, limits};

/// Why a machine is held that will fit when others have gone. All other reasons need a worker to come or to change.
pub const NO_ROOM: &str = "no worker has room now";

/// What a worker has, or what is taken of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Capacity {
    pub cpu_millis: u64,
    pub memory_mib: u64,
    pub disk_mib: u64,
    pub slots: u32,
}

/// A worker that may be given machines now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    pub id: WorkerId,
    pub capacity: Capacity,
    /// Taken by machines leased to it.
    pub used: Capacity,
    /// What its disk has free, as it told last.
    pub disk_free_mib: u64,
    /// Driver names, the preferred one first.
    pub drivers: Vec<String>,
    pub protocols: Vec<u32>,
    /// Machines that could make room: nothing in them is running.
    pub idle: Vec<Idle>,
}

/// A live machine in which nothing is running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    pub workspace: WorkspaceId,
    pub cpu_millis: u64,
    pub memory_mib: u64,
    /// Already told to make room.
    pub leaving: bool,
}

/// A machine that wants a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    pub workspace: WorkspaceId,
    pub cpu_millis: u64,
    pub memory_mib: u64,
    /// A parked machine's driver; a new one takes the worker's first.
    pub driver: Option<String>,
    /// The worker that alone has the machine's checkpoint or newest files.
    pub only: Option<WorkerId>,
    /// The worker that has its files or image at hand.
    pub prefer: Option<WorkerId>,
    pub protocol: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Place {
        workspace: WorkspaceId,
        worker: WorkerId,
        driver: String,
    },
    /// Nothing fits; `reason` is for people.
    Hold {
        workspace: WorkspaceId,
        reason: String,
    },
    /// Ask an idle machine to make room.
    MakeRoom { workspace: WorkspaceId },
}

/// Plans `demands` in their order onto `workers`.
#[must_use]
pub fn plan(workers: &[Worker], demands: &[Demand]) -> Vec<Action> {
    let mut workers = workers.to_vec();
    let mut actions = Vec::with_capacity(demands.len());
    for demand in demands {
        place(&mut workers, demand, &mut actions);
    }
    actions
}

fn place(workers: &mut [Worker], demand: &Demand, actions: &mut Vec<Action>) {
    let hold = |reason: String| Action::Hold {
        workspace: demand.workspace,
        reason,
    };
    if workers.is_empty() {
        actions.push(hold("no worker is connected".to_owned()));
        return;
    }
    let mut able: Vec<&mut Worker> = workers
        .iter_mut()
        .filter(|worker| demand.only.is_none_or(|only| worker.id == only))
        .collect();
    if able.is_empty() {
        let reason = "the worker that holds the workspace's checkpoint is not connected";
        actions.push(hold(reason.to_owned()));
        return;
    }
    able.retain(|worker| worker.protocols.contains(&demand.protocol));
    if able.is_empty() {
        let reason = format!("no worker speaks protocol {}", demand.protocol);
        actions.push(hold(reason));
        return;
    }
    able.retain(|worker| match &demand.driver {
        Some(driver) => worker.drivers.contains(driver),
        None => !worker.drivers.is_empty(),
    });
    if able.is_empty() {
        actions.push(hold("no worker has a fitting isolation driver".to_owned()));
        return;
    }
    able.retain(|worker| worker.could_ever(demand));
    if able.is_empty() {
        let reason = format!(
            "no worker is large enough for {} MiB of memory and {} milli-CPU",
            demand.memory_mib, demand.cpu_millis
        );
        actions.push(hold(reason));
        return;
    }
    // A parked machine goes back to where it is, whatever room there is.
    if demand.driver.is_none() {
        able.retain(|worker| worker.disk_free_mib >= limits::DISK_RESERVE_MIB);
        if able.is_empty() {
            actions.push(hold("no worker has room on its disk".to_owned()));
            return;
        }
    }
    let fitting = able.iter_mut().filter(|worker| worker.fits(demand));
    // The preferred one, else the one with the most memory free, so that machines spread.
    let best =
        fitting.max_by_key(|worker| (demand.prefer == Some(worker.id), worker.free_memory()));
    if let Some(worker) = best {
        let driver = demand
            .driver
            .clone()
            .or_else(|| worker.drivers.first().cloned())
            .unwrap_or_default();
        worker.take(demand);
        actions.push(Action::Place {
            workspace: demand.workspace,
            worker: worker.id,
            driver,
        });
        return;
    }
    for worker in &mut able {
        let asked = worker.make_room(demand);
        if !asked.is_empty() {
            actions.extend(
                asked
                    .into_iter()
                    .map(|workspace| Action::MakeRoom { workspace }),
            );
            break;
        }
    }
    actions.push(hold(NO_ROOM.to_owned()));
}

impl Worker {
    fn could_ever(&self, demand: &Demand) -> bool {
        self.capacity.slots > 0
            && demand.memory_mib <= self.capacity.memory_mib
            && demand.cpu_millis
                <= self
                    .capacity
                    .cpu_millis
                    .saturating_mul(limits::CPU_OVERCOMMIT)
    }

    fn fits(&self, demand: &Demand) -> bool {
        let cpu = self
            .capacity
            .cpu_millis
            .saturating_mul(limits::CPU_OVERCOMMIT);
        self.used.slots < self.capacity.slots
            && self.used.memory_mib.saturating_add(demand.memory_mib) <= self.capacity.memory_mib
            && self.used.cpu_millis.saturating_add(demand.cpu_millis) <= cpu
    }

    const fn free_memory(&self) -> u64 {
        self.capacity
            .memory_mib
            .saturating_sub(self.used.memory_mib)
    }

    const fn take(&mut self, demand: &Demand) {
        self.used.slots = self.used.slots.saturating_add(1);
        self.used.memory_mib = self.used.memory_mib.saturating_add(demand.memory_mib);
        self.used.cpu_millis = self.used.cpu_millis.saturating_add(demand.cpu_millis);
    }

    /// Names idle machines to ask, as few as needed, and none if those asked before already suffice.
    fn make_room(&mut self, demand: &Demand) -> Vec<WorkspaceId> {
        let leaving: Vec<&Idle> = self.idle.iter().filter(|idle| idle.leaving).collect();
        let coming: u64 = leaving.iter().map(|idle| idle.memory_mib).sum();
        let mut memory = self.free_memory().saturating_add(coming);
        let mut slots = u64::from(self.capacity.slots.saturating_sub(self.used.slots))
            .saturating_add(u64::try_from(leaving.len()).unwrap_or(u64::MAX));
        let limit = self
            .capacity
            .cpu_millis
            .saturating_mul(limits::CPU_OVERCOMMIT);
        let coming: u64 = leaving.iter().map(|idle| idle.cpu_millis).sum();
        let mut cpu = limit
            .saturating_sub(self.used.cpu_millis)
            .saturating_add(coming);
        let mut asked = Vec::new();
        for idle in self.idle.iter_mut().filter(|idle| !idle.leaving) {
            if memory >= demand.memory_mib && cpu >= demand.cpu_millis && slots > 0 {
                break;
            }
            memory = memory.saturating_add(idle.memory_mib);
            cpu = cpu.saturating_add(idle.cpu_millis);
            slots = slots.saturating_add(1);
            idle.leaving = true;
            asked.push(idle.workspace);
        }
        asked
    }
}

#[cfg(test)]
mod tests;
