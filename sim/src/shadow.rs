//! What the store holds, kept beside it row by row, so that each change is seen against what was there before.

use std::collections::{BTreeMap, BTreeSet};

use helmr_domain::run::{Status, status_after};
use helmr_domain::{
    CheckpointId, EventKind, MaterializationId, RunId, SessionId, TokenId, WaitId, WorkspaceId,
};
use helmr_store::inline::{Change, Inside, Table};

use crate::row::{
    Checkpoint, Dirty, Kept, Machine, Record, Run, Session, Stream, StreamKey, Timer, Token, Told,
    Wait, Workspace,
};
use crate::violation::{Checked, Violation, broken, hold};
use crate::{changes, row};

#[derive(Debug, Default)]
pub(crate) struct Shadow {
    pub(crate) workspaces: BTreeMap<WorkspaceId, Workspace>,
    pub(crate) machines: BTreeMap<MaterializationId, Machine>,
    pub(crate) checkpoints: BTreeMap<CheckpointId, Checkpoint>,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) calls: BTreeSet<(RunId, u32, u64)>,
    pub(crate) tokens: BTreeMap<TokenId, Token>,
    pub(crate) streams: BTreeMap<StreamKey, Stream>,
    pub(crate) records: BTreeMap<StreamKey, Vec<Record>>,
    pub(crate) waits: BTreeMap<WaitId, Wait>,
    pub(crate) timers: BTreeMap<(String, String), Deadline>,
    timer_rows: BTreeMap<i64, (String, String)>,
    pub(crate) outbox: BTreeMap<WorkspaceId, u64>,
    outbox_rows: BTreeMap<i64, WorkspaceId>,
    /// Of runs, from their events alone.
    pub(crate) told: BTreeMap<String, (u64, Option<Status>)>,
    /// What the step that is being taken in has done so far.
    pub(crate) step: Step,
}

/// When a timer is due, and by which clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: i64,
    pub(crate) by_wall: bool,
}

/// What the control plane's clocks show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clocks {
    /// Does not step while a control plane lives.
    pub(crate) steady: i64,
    pub(crate) wall: i64,
}

impl Clocks {
    pub(crate) const fn read(self, by_wall: bool) -> i64 {
        if by_wall { self.wall } else { self.steady }
    }
}

/// What one operation did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) changed: bool,
    pub(crate) delivered: Vec<(StreamKey, u64)>,
    pub(crate) consumed: Vec<(StreamKey, u64)>,
    /// Records that are unread again, and those that waits gave back.
    pub(crate) returned: Vec<(StreamKey, u64)>,
    pub(crate) given_back: Vec<(StreamKey, u64)>,
    pub(crate) sessions: Vec<SessionId>,
    pub(crate) runs: Vec<RunId>,
    pub(crate) records: Vec<(StreamKey, u64)>,
    pub(crate) revised: Vec<WorkspaceId>,
    pub(crate) decided: Vec<WaitId>,
    pub(crate) resumed: Vec<WaitId>,
}

impl Shadow {
    /// Takes in what an operation changed, and checks each change. Gives a hash of it.
    pub(crate) fn take(&mut self, inside: &Inside, now: Clocks) -> Checked<u64> {
        self.step = Step::default();
        let mut hash = 0_u64;
        for change in inside.changes() {
            let rowid = u64::try_from(change.rowid).unwrap_or(0);
            hash = hash
                .wrapping_mul(0x0100_0000_01b3)
                .wrapping_add(rowid ^ ((change.table as u64) << 48));
            let cells = inside.row(change).map_err(|error| broken(&error))?;
            self.change(change, cells, now)?;
        }
        Ok(hash)
    }

    fn change(
        &mut self,
        change: Change,
        cells: Option<Vec<helmr_store::inline::Cell>>,
        now: Clocks,
    ) -> Checked {
        let Some(cells) = cells else {
            return self.gone(change);
        };
        match change.table {
            Table::Workspaces => changes::workspace(self, Workspace::read(cells)?),
            Table::Machines => changes::machine(self, Machine::read(cells)?),
            Table::Checkpoints => changes::checkpoint(self, Checkpoint::read(cells)?),
            Table::Sessions => changes::session(self, Session::read(cells)?),
            Table::Runs => changes::run(self, Run::read(cells)?),
            Table::Calls => {
                let Kept { run, attempt, no } = Kept::read(cells)?;
                self.step.changed |= self.calls.insert((run, attempt, no));
                Ok(())
            }
            Table::Tokens => changes::token(self, Token::read(cells)?, now.steady),
            Table::Streams => changes::stream(self, Stream::read(cells)?),
            Table::Records => changes::record(self, Record::read(cells)?),
            Table::Waits => changes::wait(self, Wait::read(cells)?, now),
            Table::Timers => {
                let timer = Timer::read(cells)?;
                let key = (timer.purpose, timer.subject);
                self.forget_timer(change.rowid);
                self.timer_rows.insert(change.rowid, key.clone());
                let deadline = Deadline {
                    at: timer.due_at,
                    by_wall: timer.absolute == 1,
                };
                self.timers.insert(key, deadline);
                Ok(())
            }
            Table::Outbox => {
                let Dirty { workspace, mark } = Dirty::read(cells)?;
                self.outbox_rows.insert(change.rowid, workspace);
                self.outbox.insert(workspace, mark);
                Ok(())
            }
            Table::Events => self.event(&row::Told::read(cells)?),
        }
    }

    fn gone(&mut self, change: Change) -> Checked {
        match change.table {
            Table::Timers => self.forget_timer(change.rowid),
            Table::Outbox => {
                if let Some(workspace) = self.outbox_rows.remove(&change.rowid) {
                    self.outbox.remove(&workspace);
                }
            }
            // An insertion that was rolled back.
            _ => {}
        }
        Ok(())
    }

    fn forget_timer(&mut self, rowid: i64) {
        if let Some(key) = self.timer_rows.remove(&rowid) {
            self.timers.remove(&key);
        }
    }

    fn event(&mut self, told: &Told) -> Checked {
        let (last, status) = self.told.entry(told.subject.clone()).or_default();
        if told.sequence <= *last {
            return Ok(());
        }
        hold!(
            told.sequence == *last + 1,
            "events of a subject have no gap",
            "{} after {last} of {}",
            told.sequence,
            told.subject
        );
        *last = told.sequence;
        let kind: EventKind = told.kind.parse().map_err(|_| Violation {
            invariant: "events are of the closed list",
            detail: told.kind.clone(),
        })?;
        if !told.subject.starts_with("run_") {
            return Ok(());
        }
        hold!(
            !(status.is_some_and(Status::is_final) && status_after([kind]).is_some()),
            "a run ends once",
            "{} after the end of {}",
            told.kind,
            told.subject
        );
        if let Some(next) = status_after([kind]) {
            *status = Some(next);
        }
        Ok(())
    }

    /// The machine of a workspace that is not over.
    pub(crate) fn machine_of(&self, workspace: WorkspaceId) -> Option<&Machine> {
        let mut machines = self.machines.values();
        machines.find(|machine| machine.workspace == workspace && machine.ended_at.is_none())
    }
}
