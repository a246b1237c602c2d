//! What a schedule is made of: how many of everything, and which faults how often. Drawn from the seed.

use crate::dice::Dice;

pub(crate) const MS: i64 = 1_000;
pub(crate) const SECOND: i64 = 1_000_000;

#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) hosts: usize,
    /// Client requests during the storm.
    pub(crate) requests: u64,
    /// When the storm is over, from the start.
    pub(crate) storm: i64,
    pub(crate) lease_ttl: i64,
    /// Per mille of messages.
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    pub(crate) late: u64,
    /// Faults of each kind during the storm.
    pub(crate) control_crashes: u64,
    pub(crate) worker_crashes: u64,
    pub(crate) host_crashes: u64,
    pub(crate) disks_lost: u64,
    pub(crate) drains: u64,
    pub(crate) partitions: u64,
    pub(crate) clock_steps: u64,
    pub(crate) guest_deaths: u64,
    /// Per mille of checkpoints, restores and starts.
    pub(crate) slow: u64,
    pub(crate) silent: u64,
    pub(crate) failing: u64,
    /// Per mille of loop rounds.
    pub(crate) lazy: u64,
}

impl Plan {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut plan = Self {
            hosts: 1 + dice.index(2),
            requests: 4 + dice.roll(9),
            storm: dice.span(8 * SECOND, 45 * SECOND),
            lease_ttl: 24 * SECOND,
            lost: 0,
            doubled: 0,
            late: 0,
            control_crashes: 0,
            worker_crashes: 0,
            host_crashes: 0,
            disks_lost: 0,
            drains: 0,
            partitions: 0,
            clock_steps: 0,
            guest_deaths: 0,
            slow: 0,
            silent: 0,
            failing: 0,
            lazy: 100,
        };
        // Each kind of fault in about every third schedule, so that each is also seen alone.
        let mut some = |most: u64| {
            if dice.roll(3) == 0 {
                1 + dice.roll(most)
            } else {
                0
            }
        };
        plan.lost = some(80);
        plan.doubled = some(150);
        plan.late = some(150);
        plan.control_crashes = some(3);
        plan.worker_crashes = some(4);
        plan.host_crashes = some(2);
        plan.disks_lost = some(1) * some(1);
        plan.drains = some(2);
        plan.partitions = some(2);
        plan.clock_steps = some(3);
        plan.guest_deaths = some(2);
        plan.slow = some(300);
        plan.silent = some(300);
        plan.failing = some(150);
        plan
    }

    /// After the storm nothing fails any more.
    pub(crate) fn calm(&mut self) {
        self.lost = 0;
        self.doubled = 0;
        self.late = 0;
        self.slow = 0;
        self.silent = 0;
        self.failing = 0;
        self.lazy = 0;
    }
}
