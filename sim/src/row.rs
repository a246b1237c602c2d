//! Rows as they lie in the store, in the types of the domain.

use std::collections::BTreeSet;
use std::str::FromStr;

use helmr_domain::{
    CheckpointId, MaterializationId, ProcessId, PublicTokenId, RunId, SessionId, TokenId, WaitId,
    WorkerId, WorkspaceId,
};
use helmr_store::inline::Cell;

use crate::violation::{Checked, Violation};

/// Reads a row's cells in the order of its table.
struct Cells {
    table: &'static str,
    cells: std::vec::IntoIter<Cell>,
}

impl Cells {
    fn odd(&self) -> Violation {
        Violation {
            invariant: "rows hold what their tables say",
            detail: format!("a row of {}", self.table),
        }
    }

    fn maybe_int(&mut self) -> Checked<Option<i64>> {
        match self.cells.next() {
            Some(Cell::Int(number)) => Ok(Some(number)),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.odd()),
        }
    }

    fn int(&mut self) -> Checked<i64> {
        self.maybe_int()?.ok_or_else(|| self.odd())
    }

    fn count(&mut self) -> Checked<u64> {
        u64::try_from(self.int()?).map_err(|_| self.odd())
    }

    fn maybe_text(&mut self) -> Checked<Option<String>> {
        match self.cells.next() {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            _ => Err(self.odd()),
        }
    }

    fn text(&mut self) -> Checked<String> {
        self.maybe_text()?.ok_or_else(|| self.odd())
    }

    fn maybe_id<Id: FromStr>(&mut self) -> Checked<Option<Id>> {
        let text = self.maybe_text()?;
        text.map(|text| text.parse().map_err(|_| self.odd()))
            .transpose()
    }

    fn id<Id: FromStr>(&mut self) -> Checked<Id> {
        self.maybe_id()?.ok_or_else(|| self.odd())
    }

    fn attempt(&mut self) -> Checked<u32> {
        u32::try_from(self.int()?).map_err(|_| self.odd())
    }
}

macro_rules! rows {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty = $read:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub(crate) struct $name { $(pub(crate) $field: $kind,)* }

        impl $name {
            pub(crate) fn read(cells: Vec<Cell>) -> Checked<Self> {
                let mut cells = Cells { table: stringify!($name), cells: cells.into_iter() };
                Ok(Self { $($field: cells.$read()?,)* })
            }
        }
    )*};
}

rows! {
    Workspace {
        id: WorkspaceId = id,
        state: String = text,
        lease: String = text,
        epoch: u64 = count,
        holder: Option<WorkerId> = maybe_id,
        expires_at: Option<i64> = maybe_int,
        revision: u64 = count,
    }
    Machine {
        id: MaterializationId = id,
        workspace: WorkspaceId = id,
        state: String = text,
        checkpoint: Option<CheckpointId> = maybe_id,
        worker: WorkerId = id,
        epoch: u64 = count,
        not_before: i64 = int,
        ended_at: Option<i64> = maybe_int,
    }
    Checkpoint {
        id: CheckpointId = id,
        machine: MaterializationId = id,
        worker: WorkerId = id,
        epoch: u64 = count,
        dropped_at: Option<i64> = maybe_int,
    }
    Session {
        id: SessionId = id,
        workspace: WorkspaceId = id,
        status: String = text,
        active_run: Option<RunId> = maybe_id,
        runs: u64 = count,
        expires_at: Option<i64> = maybe_int,
        external_id: Option<String> = maybe_text,
        metadata: String = text,
        created_at: i64 = int,
    }
    Run {
        id: RunId = id,
        session: SessionId = id,
        workspace: WorkspaceId = id,
        number: u64 = count,
        status: String = text,
        attempt: u32 = attempt,
        started: u64 = count,
        clock_at: Option<i64> = maybe_int,
        wait: Option<WaitId> = maybe_id,
        dispatches: u64 = count,
        active: i64 = int,
        max_duration: i64 = int,
        ttl_at: Option<i64> = maybe_int,
        not_before: i64 = int,
        stop: Option<String> = maybe_text,
        stop_awake: Option<i64> = maybe_int,
        stop_kill_at: Option<i64> = maybe_int,
        metadata: String = text,
        consumed: u64 = count,
        queue: Option<String> = maybe_text,
        queue_limit: Option<i64> = maybe_int,
        queue_key: Option<String> = maybe_text,
        log_bytes: u64 = count,
        entries: u64 = count,
        entries_cut: u64 = count,
    }
    Kept {
        run: RunId = id,
        attempt: u32 = attempt,
        no: u64 = count,
    }
    Token {
        id: TokenId = id,
        run: Option<RunId> = maybe_id,
        attempt: Option<i64> = maybe_int,
        status: String = text,
        data: Option<String> = maybe_text,
        timeout_at: i64 = int,
    }
    Record {
        session: SessionId = id,
        direction: String = text,
        stream: String = text,
        sequence: u64 = count,
        run: Option<RunId> = maybe_id,
        data: String = text,
        correlation: Option<String> = maybe_text,
        key: Option<String> = maybe_text,
    }
    Wait {
        id: WaitId = id,
        run: RunId = id,
        session: SessionId = id,
        workspace: WorkspaceId = id,
        attempt: u32 = attempt,
        call: u64 = count,
        blocking: u64 = count,
        kind: String = text,
        token: Option<TokenId> = maybe_id,
        stream: Option<String> = maybe_text,
        correlation: Option<String> = maybe_text,
        due_at: Option<i64> = maybe_int,
        absolute: u64 = count,
        timeout_at: Option<i64> = maybe_int,
        state: String = text,
        outcome: Option<String> = maybe_text,
        decided_at: Option<i64> = maybe_int,
        record: Option<i64> = maybe_int,
        holds: u64 = count,
    }
    PublicToken {
        id: PublicTokenId = id,
        token: Option<TokenId> = maybe_id,
        session: Option<SessionId> = maybe_id,
        correlation: Option<String> = maybe_text,
        max_uses: Option<i64> = maybe_int,
        uses: u64 = count,
        expires_at: Option<i64> = maybe_int,
        revoked_at: Option<i64> = maybe_int,
    }
    LogPosition {
        run: RunId = id,
        stream: String = text,
        attempt: u32 = attempt,
        base: u64 = count,
        received: u64 = count,
        cut: Option<i64> = maybe_int,
        tail: u64 = count,
    }
    LogSegment {
        run: RunId = id,
        stream: String = text,
        start: u64 = count,
        size: u64 = count,
    }
    Exec {
        id: ProcessId = id,
        workspace: WorkspaceId = id,
        state: String = text,
        timeout: Option<i64> = maybe_int,
        timed_out: u64 = count,
        signals: String = text,
        stdout_start: u64 = count,
        stdout_end: u64 = count,
        stderr_start: u64 = count,
        stderr_end: u64 = count,
        stdin_end: u64 = count,
        stdin_taken: u64 = count,
        stdin_closed: u64 = count,
        started_at: Option<i64> = maybe_int,
        ended_at: Option<i64> = maybe_int,
    }
    ExecOutput {
        exec: ProcessId = id,
        stream: String = text,
        start: u64 = count,
        size: u64 = count,
    }
    ExecInput {
        exec: ProcessId = id,
        start: u64 = count,
        size: u64 = count,
    }
    Timer {
        purpose: String = text,
        subject: String = text,
        due_at: i64 = int,
        absolute: u64 = count,
    }
    Dirty {
        workspace: WorkspaceId = id,
        mark: u64 = count,
    }
    Told {
        subject: String = text,
        sequence: u64 = count,
        kind: String = text,
        attributes: String = text,
    }
}

/// A session's stream in one direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    pub(crate) last: u64,
    pub(crate) lowest_unread: u64,
    pub(crate) above: BTreeSet<u64>,
}

pub(crate) type StreamKey = (SessionId, String, String);

impl Stream {
    pub(crate) fn read(cells: Vec<Cell>) -> Checked<Self> {
        let mut cells = Cells {
            table: "Stream",
            cells: cells.into_iter(),
        };
        let key = (cells.id()?, cells.text()?, cells.text()?);
        let (last, lowest_unread) = (cells.count()?, cells.count()?);
        let above = serde_json::from_str(&cells.text()?).map_err(|_| cells.odd())?;
        Ok(Self {
            key,
            last,
            lowest_unread,
            above,
        })
    }

    pub(crate) fn is_unread(&self, sequence: u64) -> bool {
        sequence >= self.lowest_unread && !self.above.contains(&sequence)
    }
}

impl Workspace {
    pub(crate) fn is_held(&self) -> bool {
        self.lease == "held"
    }
}

impl Run {
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.status.as_str(),
            "succeeded" | "failed" | "cancelled" | "expired"
        )
    }
}

impl Exec {
    /// Whether a machine has it.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self.state.as_str(), "starting" | "running")
    }

    /// Where what is kept of an output stream begins and ends.
    pub(crate) fn window(&self, stream: &str) -> (u64, u64) {
        if stream == "stdout" {
            (self.stdout_start, self.stdout_end)
        } else {
            (self.stderr_start, self.stderr_end)
        }
    }
}

impl Wait {
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "hot" | "parked" | "resuming")
    }

    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.state.as_str(), "hot" | "parked")
    }

    pub(crate) fn is_delivered(&self) -> bool {
        matches!(self.state.as_str(), "resolved" | "timed_out")
    }
}
