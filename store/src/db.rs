//! The database: transactions, values and statements over two engines.

#[doc(hidden)]
pub mod check;
mod inline;
mod migrate;
mod postgres;
mod row;
mod sqlite;
mod statement;
mod tx;
mod value;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;

use tokio::sync::broadcast;

use crate::{Hint, Result};

pub(crate) use inline::Inline;
pub(crate) use row::{Row, Rows};
pub(crate) use statement::{Statement, sql};
pub(crate) use tx::Tx;
pub(crate) use value::{FromValue, Json, ToValue, Value, params};

/// The body of a transaction.
pub(crate) type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One of the two engines, or the first without threads.
#[derive(Clone)]
pub(crate) enum Db {
    Sqlite(sqlite::Sqlite),
    Postgres(postgres::Postgres),
    Inline(Inline),
}

impl Db {
    pub(crate) fn open_sqlite(path: &Path) -> Result<Self> {
        sqlite::Sqlite::open(path).map(Self::Sqlite)
    }

    pub(crate) fn open_sqlite_in_memory() -> Result<Self> {
        sqlite::Sqlite::open_in_memory().map(Self::Sqlite)
    }

    pub(crate) fn open_inline() -> Result<Inline> {
        Inline::open()
    }

    pub(crate) async fn connect_postgres(url: &str) -> Result<Self> {
        postgres::Postgres::connect(url).await.map(Self::Postgres)
    }

    pub(crate) async fn write<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
        hints: &broadcast::Sender<Hint>,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.write(input, body, hints.clone()).await,
            Self::Postgres(postgres) => postgres.write(input, body, hints).await,
            Self::Inline(inline) => inline.write(&input, &body, hints),
        }
    }

    pub(crate) async fn read<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        match self {
            Self::Sqlite(sqlite) => sqlite.read(input, body).await,
            Self::Postgres(postgres) => postgres.read(input, body).await,
            Self::Inline(inline) => inline.read(&input, &body),
        }
    }
}

/// What one piece of a list may weigh, whatever its limit says: rows may be large, and many may be read at once.
pub(crate) const PIECE_BYTES: usize = 3 << 20;

sql! {
    PING = "SELECT 1 FROM schema_migrations WHERE number = 1";
}

pub(crate) async fn ping(tx: &mut Tx) -> Result<()> {
    tx.find(&PING, &[]).await.map(drop)
}
