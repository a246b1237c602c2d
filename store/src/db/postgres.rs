//! PostgreSQL: a pool of connections, SERIALIZABLE transactions, tried again when it says so.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::TryStreamExt as _;
use tokio::sync::broadcast;
use tokio_postgres::NoTls;
use tokio_postgres::types::{ToSql, Type};

use super::row::Scale;
use super::tx::Engine;
use super::{Row, Rows, Statement, Tx, Value, Work, migrate};
use crate::{DatabaseError, Error, Hint, Result};

const CONNECTIONS: usize = 16;
/// For one operation, with all its tries.
const DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);

/// How often a violated unique constraint is taken for a race.
const DUPLICATES: u32 = 2;

#[derive(Clone)]
pub(crate) struct Postgres {
    pool: Pool,
}

impl Postgres {
    pub(super) async fn connect(url: &str) -> Result<Self> {
        let config: tokio_postgres::Config = url.parse().map_err(Error::from)?;
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(CONNECT_DEADLINE))
            .create_timeout(Some(CONNECT_DEADLINE))
            .recycle_timeout(Some(CONNECT_DEADLINE))
            .build()
            .map_err(|error| Error::Unavailable(DatabaseError::Pool(error.to_string())))?;
        let postgres = Self { pool };
        let mut connection = postgres.take().await?;
        migrate::postgres(&mut connection).await?;
        Ok(postgres)
    }

    async fn take(&self) -> Result<Object> {
        self.pool
            .get()
            .await
            .map_err(|error| Error::Unavailable(DatabaseError::Pool(error.to_string())))
    }

    pub(super) async fn write<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
        hints: &broadcast::Sender<Hint>,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        let tries = async {
            let mut pause = Duration::from_millis(1);
            let mut duplicates = 0;
            loop {
                let (result, told) = self.once(BEGIN_WRITE, &input, &body).await;
                match result {
                    Err(error) if error.is_serialization_failure() => {
                        tracing::debug!("a transaction is tried again");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(Duration::from_millis(50));
                    }
                    // Two that made the same thing at once: the second one finds it when it looks again.
                    Err(Error::Conflict(_)) if duplicates < DUPLICATES => duplicates += 1,
                    Err(error) if error.is_duplicate() && duplicates < DUPLICATES => {
                        duplicates += 1;
                    }
                    Ok(value) => {
                        for hint in told {
                            // Nobody listening is fine: a hint is no data.
                            drop(hints.send(hint));
                        }
                        return Ok(value);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        tokio::time::timeout(DEADLINE, tries)
            .await
            .map_err(|_| deadline())?
    }

    pub(super) async fn read<Input, T>(
        &self,
        input: Input,
        body: impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync + 'static,
    ) -> Result<T>
    where
        Input: Send + Sync + 'static,
        T: Send + 'static,
    {
        let once = self.once(BEGIN_READ, &input, &body);
        tokio::time::timeout(DEADLINE, once)
            .await
            .map_err(|_| deadline())?
            .0
    }

    async fn once<Input, T>(
        &self,
        begin: &str,
        input: &Input,
        body: &(impl for<'a> Fn(&'a mut Tx, &'a Input) -> Work<'a, T> + Send + Sync),
    ) -> (Result<T>, Vec<Hint>) {
        let object = match self.take().await {
            Ok(object) => object,
            Err(error) => return (Err(error), Vec::new()),
        };
        // From here on a cancelled operation drops its connection instead of giving it back mid-transaction.
        let connection = Connection(Some(object));
        if let Err(error) = connection.command(begin).await {
            return (Err(error), Vec::new());
        }
        let mut tx = Tx::over(Engine::Postgres(connection));
        let result = body(&mut tx, input).await;
        let told = std::mem::take(&mut tx.hints);
        let Engine::Postgres(mut connection) = tx.engine else {
            return (Err(Error::Blocked), Vec::new());
        };
        let ended = match &result {
            Ok(_) => connection.command("COMMIT").await,
            Err(_) => connection.command("ROLLBACK").await,
        };
        if ended.is_ok() {
            connection.give_back();
        }
        match (result, ended) {
            (Ok(value), Ok(())) => (Ok(value), told),
            (Ok(_), Err(error)) | (Err(error), _) => (Err(error), Vec::new()),
        }
    }
}

const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

fn deadline() -> Error {
    Error::Unavailable(DatabaseError::Deadline {
        seconds: DEADLINE.as_secs(),
    })
}

/// A connection that goes back to the pool only when it is said to be clean.
pub(super) struct Connection(Option<Object>);

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

impl Connection {
    fn give_back(&mut self) {
        drop(self.0.take());
    }

    fn object(&self) -> Result<&Object> {
        self.0
            .as_ref()
            .ok_or(Error::Unavailable(DatabaseError::Closed))
    }

    async fn command(&self, text: &str) -> Result<()> {
        Ok(self.object()?.batch_execute(text).await?)
    }

    pub(super) async fn rows(
        &self,
        statement: &'static Statement,
        params: &[Value],
        mut scale: Scale,
    ) -> Result<Rows> {
        let object = self.object()?;
        let prepared = object.prepare_cached(statement.text).await?;
        let found = object.query_raw(&prepared, params).await?;
        let mut found = std::pin::pin!(found);
        let mut rows = Vec::new();
        while let Some(row) = found.try_next().await? {
            let row = read_row(statement, &row)?;
            if !scale.takes(&row) {
                // What is still on its way is thrown away as it comes.
                return Ok(Rows {
                    rows,
                    cut: true,
                    left_bytes: 0,
                });
            }
            rows.push(row);
        }
        Ok(Rows {
            rows,
            cut: false,
            left_bytes: scale.left(),
        })
    }

    pub(super) async fn run(&self, statement: &'static Statement, params: &[Value]) -> Result<u64> {
        let object = self.object()?;
        let prepared = object.prepare_cached(statement.text).await?;
        Ok(object.execute(&prepared, &borrowed(params)).await?)
    }
}

fn borrowed(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params
        .iter()
        .map(|value| -> &(dyn ToSql + Sync) { value })
        .collect()
}

fn read_row(statement: &'static Statement, row: &tokio_postgres::Row) -> Result<Row> {
    let values = row
        .columns()
        .iter()
        .enumerate()
        .map(|(index, column)| {
            read(row, index, column.type_()).ok_or(Error::Corrupt {
                object: statement.name,
                column: "type",
            })
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(Row::new(statement, values))
}

fn read(row: &tokio_postgres::Row, index: usize, kind: &Type) -> Option<Value> {
    match *kind {
        Type::INT8 => row
            .try_get::<_, Option<i64>>(index)
            .ok()
            .map(|value| value.map_or(Value::Null, Value::Int)),
        Type::INT4 => row
            .try_get::<_, Option<i32>>(index)
            .ok()
            .map(|value| value.map_or(Value::Null, |number| Value::Int(i64::from(number)))),
        Type::TEXT => row
            .try_get::<_, Option<String>>(index)
            .ok()
            .map(|value| value.map_or(Value::Null, Value::Text)),
        Type::BYTEA => row
            .try_get::<_, Option<Vec<u8>>>(index)
            .ok()
            .map(|value| value.map_or(Value::Null, Value::Bytes)),
        _ => None,
    }
}
