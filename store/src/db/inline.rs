//! SQLite in memory, in the caller's thread: every operation is done when it is first polled, so that a seed replays.
//!
//! One transaction stays open underneath, and each operation is a savepoint in it: going back to the kept state is a
//! rollback, which costs what was changed and keeps the prepared statements. What operations touch is noted row by row.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::broadcast;

use super::sqlite::{command, in_savepoint, prepare_once};
use super::tx::Engine;
use super::{Tx, Work, migrate};
use crate::inline::{Cell, Change, Table};
use crate::{Error, Hint, Result};

#[derive(Clone)]
pub(crate) struct Inline {
    tx: Arc<Mutex<Tx>>,
    changes: Arc<Mutex<Vec<Change>>>,
}

impl Inline {
    pub(super) fn open() -> Result<Self> {
        let mut connection = Connection::open_in_memory()?;
        // Small pages: each operation keeps a copy of those that it changes, to go back to.
        connection.execute_batch("PRAGMA page_size = 1024; PRAGMA foreign_keys = ON;")?;
        migrate::sqlite(&mut connection)?;
        prepare_once(&connection)?;
        let changes = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&changes);
        connection.update_hook(Some(move |_, _: &str, table: &str, rowid| {
            if let Some(table) = Table::named(table) {
                lock(&noted).push(Change { table, rowid });
            }
        }))?;
        let tx = Tx::over(Engine::Sqlite(connection));
        command(&tx, "BEGIN IMMEDIATE")?;
        Ok(Self {
            tx: Arc::new(Mutex::new(tx)),
            changes,
        })
    }

    pub(super) fn write<Input, T>(
        &self,
        input: &Input,
        body: &impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T>,
        hints: &broadcast::Sender<Hint>,
    ) -> Result<T> {
        let mut tx = lock(&self.tx);
        let result = in_savepoint(&mut tx, input, body);
        for hint in std::mem::take(&mut tx.hints) {
            // Nobody listening is fine: a hint is no data.
            drop(hints.send(hint));
        }
        result
    }

    pub(super) fn read<Input, T>(
        &self,
        input: &Input,
        body: &impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T>,
    ) -> Result<T> {
        let mut tx = lock(&self.tx);
        let result = super::sqlite::poll_once(|| body(&mut tx, input));
        tx.hints.clear();
        result
    }

    pub(crate) fn keep(&self) -> Result<()> {
        let tx = lock(&self.tx);
        command(&tx, "COMMIT")?;
        command(&tx, "BEGIN IMMEDIATE")
    }

    pub(crate) fn rewind(&self) -> Result<()> {
        let tx = lock(&self.tx);
        command(&tx, "ROLLBACK")?;
        lock(&self.changes).clear();
        command(&tx, "BEGIN IMMEDIATE")
    }

    pub(crate) fn take_changes(&self) -> Vec<Change> {
        std::mem::take(&mut *lock(&self.changes))
    }

    /// Reads the one row that `text` finds.
    pub(crate) fn row(&self, text: &str, rowid: i64) -> Result<Option<Vec<Cell>>> {
        let tx = lock(&self.tx);
        let Engine::Sqlite(connection) = &tx.engine else {
            return Err(Error::Blocked);
        };
        let mut prepared = connection.prepare_cached(text)?;
        let width = prepared.column_count();
        let mut found = prepared.query([rowid])?;
        let Some(row) = found.next()? else {
            return Ok(None);
        };
        let mut cells = Vec::with_capacity(width);
        for index in 0..width {
            cells.push(Cell::read(row.get_ref(index)?));
        }
        Ok(Some(cells))
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
