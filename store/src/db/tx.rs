//! An open transaction.

use super::postgres::Connection;
use super::row::Scale;
use super::{Row, Rows, Statement, Value};
use crate::{Error, Hint, Result};

pub(crate) struct Tx {
    pub(super) engine: Engine,
    /// Told after the commit.
    pub(super) hints: Vec<Hint>,
}

pub(super) enum Engine {
    Sqlite(rusqlite::Connection),
    Postgres(Connection),
}

impl Tx {
    pub(super) const fn over(engine: Engine) -> Self {
        Self {
            engine,
            hints: Vec::new(),
        }
    }

    /// Tells `hint` once the transaction is committed.
    pub(crate) fn hint(&mut self, hint: Hint) {
        if !self.hints.contains(&hint) {
            self.hints.push(hint);
        }
    }

    /// All rows of a statement that bounds them.
    pub(crate) async fn rows(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Vec<Row>> {
        Ok(self.rows_within(statement, params, usize::MAX).await?.rows)
    }

    /// The first rows of a statement, up to a weight. The first row comes whatever it weighs.
    pub(crate) async fn rows_within(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
        most_bytes: usize,
    ) -> Result<Rows> {
        let scale = Scale::new(most_bytes);
        match &self.engine {
            Engine::Sqlite(connection) => sqlite_rows(connection, statement, params, scale),
            Engine::Postgres(connection) => connection.rows(statement, params, scale).await,
        }
    }

    /// The one row of a look-up, if it is there.
    pub(crate) async fn find(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Option<Row>> {
        Ok(self.rows(statement, params).await?.into_iter().next())
    }

    /// The one row that a statement always gives.
    pub(crate) async fn one(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<Row> {
        self.find(statement, params).await?.ok_or(Error::Corrupt {
            object: statement.name,
            column: "row",
        })
    }

    /// Changes rows; answers how many.
    pub(crate) async fn run(
        &mut self,
        statement: &'static Statement,
        params: &[Value],
    ) -> Result<u64> {
        match &self.engine {
            Engine::Sqlite(connection) => {
                let mut prepared = connection.prepare_cached(statement.for_sqlite())?;
                let changed = prepared.execute(rusqlite::params_from_iter(params))?;
                Ok(u64::try_from(changed).unwrap_or(u64::MAX))
            }
            Engine::Postgres(connection) => connection.run(statement, params).await,
        }
    }
}

fn sqlite_rows(
    connection: &rusqlite::Connection,
    statement: &'static Statement,
    params: &[Value],
    mut scale: Scale,
) -> Result<Rows> {
    use rusqlite::types::ValueRef;
    let mut prepared = connection.prepare_cached(statement.for_sqlite())?;
    let width = prepared.column_count();
    let mut found = prepared.query(rusqlite::params_from_iter(params))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let mut values = Vec::with_capacity(width);
        for index in 0..width {
            values.push(match row.get_ref(index)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(number) => Value::Int(number),
                // The lossy reading alone goes letter by letter.
                ValueRef::Text(text) => Value::Text(match std::str::from_utf8(text) {
                    Ok(text) => text.to_owned(),
                    Err(_) => String::from_utf8_lossy(text).into_owned(),
                }),
                ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                ValueRef::Real(_) => {
                    return Err(Error::Corrupt {
                        object: statement.name,
                        column: "number",
                    });
                }
            });
        }
        let row = Row::new(statement, values);
        if !scale.takes(&row) {
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
