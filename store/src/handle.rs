//! The handle that everything else holds.

use std::path::Path;

use tokio::sync::broadcast;

use crate::db::{Db, Tx, Work};
use crate::{Hint, Result};

/// How many hints a slow listener may fall behind before it must look at everything again.
const HINTS: usize = 4_096;

/// A store. Cheap to clone; the database is closed when the last clone goes.
#[derive(Clone)]
pub struct Store {
    db: Db,
    hints: broadcast::Sender<Hint>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self.db {
            Db::Sqlite(_) => "Store(sqlite)",
            Db::Postgres(_) => "Store(postgresql)",
            Db::Inline(_) => "Store(inline)",
        })
    }
}

impl Store {
    /// Opens a SQLite file, makes it if need be, and migrates it. Blocks: call it before serving.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be used; `Migration` if it was made by a later build.
    pub fn open_sqlite(path: &Path) -> Result<Self> {
        Ok(Self::over(Db::open_sqlite(path)?))
    }

    /// Opens a SQLite database that lives as long as the store.
    ///
    /// # Errors
    /// `Database` if SQLite has no memory for it.
    pub fn open_sqlite_in_memory() -> Result<Self> {
        Ok(Self::over(Db::open_sqlite_in_memory()?))
    }

    /// Connects to PostgreSQL 15 or later and migrates it.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be reached; `Migration` if it was made by a later build.
    pub async fn connect_postgres(url: &str) -> Result<Self> {
        Ok(Self::over(Db::connect_postgres(url).await?))
    }

    pub(crate) fn over(db: Db) -> Self {
        Self {
            db,
            hints: broadcast::Sender::new(HINTS),
        }
    }

    /// Listens to what changes from now on. One who lags looks at everything again.
    #[must_use]
    pub fn hints(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    /// Asks the database whether it answers.
    ///
    /// # Errors
    /// `Unavailable` if it does not.
    pub async fn ping(&self) -> Result<()> {
        self.read((), |tx, ()| Box::pin(crate::db::ping(tx))).await
    }

    /// Runs `body` in one transaction. It may run again after a serialization failure, so it touches nothing outside.
    pub(crate) async fn write<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.db.write(input, body, &self.hints).await
    }

    /// Runs `body` on one consistent view of the database, without writing.
    pub(crate) async fn read<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        self.db.read(input, body).await
    }
}

#[cfg(test)]
mod tests;
