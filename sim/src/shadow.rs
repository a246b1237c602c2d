//! What the store holds, kept beside it row by row, so that each change is seen against what was there before.

use std::collections::{BTreeMap, BTreeSet};

use helmr_domain::run::{Status, status_after};
use helmr_domain::timer::Purpose;
use helmr_domain::{
    CheckpointId, EventKind, MaterializationId, ProcessId, PublicTokenId, RunId, SessionId,
    TokenId, WaitId, WorkspaceId,
};
use helmr_store::inline::{Change, Inside, Table};

use crate::changes::logs::Log;
use crate::row::{
    Checkpoint, Dirty, Exec, ExecInput, ExecOutput, Kept, LogPosition, LogSegment, Machine,
    PublicToken, Record, Run, Session, Stream, StreamKey, Timer, Token, Told, Wait, Workspace,
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
    /// Of each run, the waits that keep it running.
    pub(crate) holding: BTreeMap<RunId, BTreeSet<WaitId>>,
    pub(crate) public: BTreeMap<PublicTokenId, PublicToken>,
    pub(crate) logs: BTreeMap<(RunId, String), Log>,
    pub(crate) execs: BTreeMap<ProcessId, Exec>,
    pub(crate) printed: Pieces<(ProcessId, String)>,
    pub(crate) given: Pieces<ProcessId>,
    pub(crate) timers: BTreeMap<(Purpose, Subject), Deadline>,
    timer_rows: BTreeMap<i64, (Purpose, Subject)>,
    pub(crate) outbox: BTreeMap<WorkspaceId, u64>,
    outbox_rows: BTreeMap<i64, WorkspaceId>,
    /// The number of each subject's last event.
    told: BTreeMap<String, u64>,
    /// The status of each run, from its events alone.
    pub(crate) told_runs: BTreeMap<RunId, Status>,
    /// What has not ended: looked at after every step, beside what the step touched.
    pub(crate) open: Open,
    /// What has happened at least once, for the test that schedules reach what they are for.
    pub(crate) reached: BTreeSet<&'static str>,
    /// What the step that is being taken in has done so far.
    pub(crate) step: Step,
}

/// Pieces of bytes by where they begin, whose rows come and go.
#[derive(Debug)]
pub(crate) struct Pieces<Key> {
    rows: BTreeMap<i64, (Key, u64)>,
    of: BTreeMap<Key, BTreeMap<u64, u64>>,
}

impl<Key> Default for Pieces<Key> {
    fn default() -> Self {
        Self {
            rows: BTreeMap::new(),
            of: BTreeMap::new(),
        }
    }
}

impl<Key: Ord + Clone> Pieces<Key> {
    fn put(&mut self, rowid: i64, key: Key, start: u64, size: u64) {
        self.forget(rowid);
        self.rows.insert(rowid, (key.clone(), start));
        self.of.entry(key).or_default().insert(start, size);
    }

    fn forget(&mut self, rowid: i64) -> Option<Key> {
        let (key, start) = self.rows.remove(&rowid)?;
        if let Some(pieces) = self.of.get_mut(&key) {
            pieces.remove(&start);
        }
        Some(key)
    }

    /// Where they begin and end, if they follow each other without a gap. `Some(None)`: there are none.
    pub(crate) fn extent(&self, key: &Key) -> Option<Option<(u64, u64)>> {
        let mut extent: Option<(u64, u64)> = None;
        for (start, size) in self.of.get(key).into_iter().flatten() {
            extent = match extent {
                None => Some((*start, start + size)),
                Some((first, end)) if end == *start => Some((first, end + size)),
                Some(_) => return None,
            };
        }
        Some(extent)
    }

    /// Where the first one ends.
    pub(crate) fn first_end(&self, key: &Key) -> Option<u64> {
        let (start, size) = self.of.get(key)?.first_key_value()?;
        Some(start + size)
    }
}

/// Whose timer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Wait(WaitId),
    Token(TokenId),
    Run(RunId),
    Session(SessionId),
    Machine(MaterializationId),
    Exec(ProcessId),
}

impl Subject {
    fn read(purpose: Purpose, text: &str) -> Option<Self> {
        match purpose {
            Purpose::WaitDue | Purpose::WaitTimeout => text.parse().ok().map(Self::Wait),
            Purpose::TokenTimeout => text.parse().ok().map(Self::Token),
            Purpose::RunTtl
            | Purpose::RunNotBefore
            | Purpose::RunMaxDuration
            | Purpose::StopGrace => text.parse().ok().map(Self::Run),
            Purpose::SessionExpiry => text.parse().ok().map(Self::Session),
            Purpose::MachineNotBefore => text.parse().ok().map(Self::Machine),
            Purpose::ExecTimeout => text.parse().ok().map(Self::Exec),
        }
    }
}

/// What has not ended.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) runs: BTreeSet<RunId>,
    pub(crate) waits: BTreeSet<WaitId>,
    pub(crate) tokens: BTreeSet<TokenId>,
    pub(crate) sessions: BTreeSet<SessionId>,
    pub(crate) execs: BTreeSet<ProcessId>,
    pub(crate) machines: BTreeMap<WorkspaceId, MaterializationId>,
}

impl Open {
    /// Keeps an id as long as what it names has not ended.
    pub(crate) fn keep<Id: Ord>(open: &mut BTreeSet<Id>, id: Id, ended: bool) {
        if ended {
            open.remove(&id);
        } else {
            open.insert(id);
        }
    }
}

/// What a step touched, whatever became of it.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) workspaces: BTreeSet<WorkspaceId>,
    pub(crate) runs: BTreeSet<RunId>,
    pub(crate) waits: BTreeSet<WaitId>,
    pub(crate) tokens: BTreeSet<TokenId>,
    pub(crate) sessions: BTreeSet<SessionId>,
    pub(crate) execs: BTreeSet<ProcessId>,
}

impl Touched {
    fn timer(&mut self, subject: Subject) {
        match subject {
            Subject::Wait(id) => drop(self.waits.insert(id)),
            Subject::Token(id) => drop(self.tokens.insert(id)),
            Subject::Run(id) => drop(self.runs.insert(id)),
            Subject::Session(id) => drop(self.sessions.insert(id)),
            Subject::Exec(id) => drop(self.execs.insert(id)),
            Subject::Machine(_) => {}
        }
    }
}

/// When a timer is due, and by which clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline {
    row: i64,
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
    pub(crate) touched: Touched,
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
    /// Log entries that were told as events.
    pub(crate) logged: usize,
    /// Queued runs that a machine took.
    pub(crate) leased: Vec<RunId>,
    /// Tokens that were completed.
    pub(crate) completed: usize,
    pub(crate) execs: Vec<ProcessId>,
    /// Public access tokens that were made, and those of which a use was spent.
    pub(crate) public: Vec<PublicTokenId>,
    pub(crate) spent: Vec<PublicTokenId>,
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
            Table::Waits => changes::waits::wait(self, Wait::read(cells)?, now),
            Table::PublicTokens => changes::public::token(self, PublicToken::read(cells)?, now),
            Table::LogPositions => changes::logs::position(self, LogPosition::read(cells)?),
            Table::LogSegments => changes::logs::segment(self, &LogSegment::read(cells)?),
            Table::Execs => changes::execs::exec(self, Exec::read(cells)?),
            Table::ExecOutput => {
                let piece = ExecOutput::read(cells)?;
                self.step.touched.execs.insert(piece.exec);
                let key = (piece.exec, piece.stream);
                self.printed.put(change.rowid, key, piece.start, piece.size);
                Ok(())
            }
            Table::ExecInput => {
                let piece = ExecInput::read(cells)?;
                self.step.touched.execs.insert(piece.exec);
                self.given
                    .put(change.rowid, piece.exec, piece.start, piece.size);
                Ok(())
            }
            Table::Timers => {
                let timer = Timer::read(cells)?;
                let key = timer_key(&timer)?;
                self.forget_timer(change.rowid);
                self.step.touched.timer(key.1);
                self.timer_rows.insert(change.rowid, key);
                let deadline = Deadline {
                    row: change.rowid,
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
            Table::ExecOutput => {
                let exec = self.printed.forget(change.rowid).map(|(exec, _)| exec);
                self.step.touched.execs.extend(exec);
            }
            Table::ExecInput => {
                let exec = self.given.forget(change.rowid);
                self.step.touched.execs.extend(exec);
            }
            // An insertion that was rolled back.
            _ => {}
        }
        Ok(())
    }

    fn forget_timer(&mut self, rowid: i64) {
        if let Some(key) = self.timer_rows.remove(&rowid) {
            self.step.touched.timer(key.1);
            // It may have been armed again, in another row.
            if self.timers.get(&key).is_some_and(|kept| kept.row == rowid) {
                self.timers.remove(&key);
            }
        }
    }

    fn event(&mut self, told: &Told) -> Checked {
        let last = match self.told.get_mut(&told.subject) {
            Some(last) => last,
            None => self.told.entry(told.subject.clone()).or_default(),
        };
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
        if kind == EventKind::Log && told.attributes.contains("\"level\"") {
            self.step.logged += 1;
        }
        let Ok(run) = told.subject.parse::<RunId>() else {
            return Ok(());
        };
        let Some(next) = status_after([kind]) else {
            return Ok(());
        };
        hold!(
            !self
                .told_runs
                .get(&run)
                .is_some_and(|status| status.is_final()),
            "a run ends once",
            "{} after the end of {run}",
            told.kind
        );
        self.step.touched.runs.insert(run);
        self.told_runs.insert(run, next);
        Ok(())
    }

    /// Whether a machine of this workspace has an exec.
    pub(crate) fn has_exec_inside(&self, workspace: WorkspaceId) -> bool {
        let mut open = self.open.execs.iter().filter_map(|id| self.execs.get(id));
        open.any(|exec| exec.workspace == workspace && exec.is_inside())
    }

    /// The machine of a workspace that is not over.
    pub(crate) fn machine_of(&self, workspace: WorkspaceId) -> Option<&Machine> {
        self.machines.get(self.open.machines.get(&workspace)?)
    }
}

fn timer_key(timer: &Timer) -> Checked<(Purpose, Subject)> {
    let purpose = timer.purpose.parse().ok();
    let key = purpose.and_then(|purpose| Some((purpose, Subject::read(purpose, &timer.subject)?)));
    key.ok_or_else(|| Violation {
        invariant: "rows hold what their tables say",
        detail: format!("{timer:?}"),
    })
}
