//! A store that a simulator drives and looks into: in memory, in the caller's thread, without a thread of its own.
//!
//! Every future of such a store is ready when it is first polled. What an operation touched is told row by row, and rows
//! are read as they lie, whatever the store's own reading would make of them.

use rusqlite::types::ValueRef;

use crate::db::{Db, Inline};
use crate::{Result, Store};

/// Drives a store and looks into it. Cheap to clone.
#[derive(Clone)]
pub struct Inside {
    database: Inline,
}

/// Opens one.
///
/// # Errors
/// `Database` if SQLite has no memory for it.
pub fn open() -> Result<(Store, Inside)> {
    let database = Db::open_inline()?;
    let inside = Inside {
        database: database.clone(),
    };
    Ok((Store::over(Db::Inline(database)), inside))
}

/// A row that an operation wrote, or tried to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    pub table: Table,
    pub rowid: i64,
}

/// A value as SQLite has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    Null,
    Int(i64),
    Text(String),
    /// Of which only the length counts here.
    Bytes(usize),
}

impl Cell {
    pub(crate) fn read(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null | ValueRef::Real(_) => Self::Null,
            ValueRef::Integer(number) => Self::Int(number),
            ValueRef::Text(text) => Self::Text(match std::str::from_utf8(text) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(text).into_owned(),
            }),
            ValueRef::Blob(bytes) => Self::Bytes(bytes.len()),
        }
    }
}

macro_rules! tables {
    ($($name:ident = $table:literal: $columns:literal;)*) => {
        /// A table that is looked into, with the columns that are read, in this order.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Table { $(#[doc = $columns] $name,)* }

        impl Table {
            pub(crate) fn named(name: &str) -> Option<Self> {
                match name {
                    $($table => Some(Self::$name),)*
                    _ => None,
                }
            }

            const fn find(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("SELECT ", $columns, " FROM ", $table, " WHERE rowid = ?1"),)*
                }
            }
        }
    };
}

// In the order in which a reader must learn of them: what is referred to first.
tables! {
    Workspaces = "workspaces": "id, state, lease_state, lease_epoch, lease_worker_id, lease_expires_at, revision";
    Machines = "materializations": "id, workspace_id, state, checkpoint_id, worker_id, epoch, not_before_at, ended_at";
    Checkpoints = "checkpoints": "id, materialization_id, worker_id, epoch, dropped_at";
    Sessions = "sessions": "id, workspace_id, status, active_run_id, runs, expires_at, external_id, metadata, created_at";
    Runs = "runs": "id, session_id, workspace_id, number, status, attempt, started, clock_at, wait_id, dispatch_attempts, active_us, max_duration_us, ttl_at, not_before_at, stop_reason, stop_awake, stop_kill_at, metadata, consumed, queue, queue_limit, queue_key, log_bytes, entries, entries_cut";
    Calls = "run_calls": "run_id, attempt, call_no";
    PublicTokens = "public_access_tokens": "id, token_id, session_id, correlation_id, max_uses, uses, expires_at, revoked_at";
    Tokens = "tokens": "id, run_id, attempt, status, data, timeout_at";
    Streams = "session_streams": "session_id, direction, name, last_sequence, lowest_unread, consumed_above";
    Records = "stream_records": "session_id, direction, stream, sequence, run_id, data, correlation_id, idempotency_key";
    Waits = "waits": "id, run_id, session_id, workspace_id, attempt, call_no, blocking, kind, token_id, stream, correlation_id, due_at, absolute, timeout_at, state, outcome, decided_at, record_sequence, holds";
    LogPositions = "log_positions": "run_id, stream, attempt, base_offset, received_bytes, cut_offset, tail_bytes";
    LogSegments = "log_segments": "run_id, stream, start_offset, size_bytes";
    Execs = "execs": "id, workspace_id, state, timeout_us, timed_out, signals, stdout_start, stdout_bytes, stderr_start, stderr_bytes, stdin_bytes, stdin_taken, stdin_closed, started_at, ended_at";
    ExecOutput = "exec_output": "exec_id, stream, start_offset, size_bytes";
    ExecInput = "exec_input": "exec_id, start_offset, size_bytes";
    Timers = "timers": "purpose, subject_id, due_at, absolute";
    Outbox = "outbox": "subject_id, mark";
    Events = "events": "subject_id, sequence, kind, attributes";
}

impl Inside {
    /// What [`Self::rewind`] goes back to from now on.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn keep(&self) -> Result<()> {
        self.database.keep()
    }

    /// Forgets everything since the last [`Self::keep`].
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn rewind(&self) -> Result<()> {
        self.database.rewind()
    }

    /// The rows that were touched since this was last asked, in the order of the tables, each once.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        let mut changes = self.database.take_changes();
        changes.sort_unstable();
        changes.dedup();
        changes
    }

    /// Reads a row; `None` if it is not there any more.
    ///
    /// # Errors
    /// If SQLite fails.
    pub fn row(&self, change: Change) -> Result<Option<Vec<Cell>>> {
        self.database.row(change.table.find(), change.rowid)
    }
}
