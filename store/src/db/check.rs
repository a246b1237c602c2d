//! For the tests of the store itself: every statement on both engines, and query plans.

pub(crate) use super::statement::STATEMENTS;
use crate::{Error, Result};

/// Prepares every statement on a migrated SQLite database. Answers the names of those that fail, with the reason.
///
/// # Errors
/// If there is no database to prepare them on.
pub fn prepare_all_on_sqlite() -> Result<Vec<String>> {
    let mut connection = rusqlite::Connection::open_in_memory()?;
    super::migrate::sqlite(&mut connection)?;
    Ok(STATEMENTS
        .iter()
        .filter_map(|statement| {
            let error = connection.prepare(statement.for_sqlite()).err()?;
            Some(format!("{}: {error}", statement.name))
        })
        .collect())
}

/// Prepares every statement on a migrated PostgreSQL database, and checks that its parameters and columns have types
/// that SQLite has too.
///
/// # Errors
/// If the database cannot be reached.
pub async fn prepare_all_on_postgres(url: &str) -> Result<Vec<String>> {
    use tokio_postgres::types::Type;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    let mut failures = Vec::new();
    let portable = [Type::INT8, Type::TEXT, Type::BYTEA];
    for statement in STATEMENTS {
        match client.prepare(statement.text).await {
            Err(error) => failures.push(format!(
                "{}: {}",
                statement.name,
                crate::DatabaseError::from(error)
            )),
            Ok(prepared) => {
                let bound = prepared.params().iter();
                let given = prepared.columns().iter().map(|column| column.type_());
                // `SELECT 1` is INT4, which reads as the same number.
                if let Some(odd) = bound
                    .chain(given)
                    .find(|kind| !portable.contains(kind) && **kind != Type::INT4)
                {
                    failures.push(format!("{}: has a {odd}", statement.name));
                }
            }
        }
    }
    drop(client);
    drop(driver.await);
    Ok(failures)
}

/// How many statements there are.
#[must_use]
pub fn count() -> usize {
    STATEMENTS.len()
}

/// SQLite's plan of the statement whose name ends with `name`, a line per step.
///
/// # Errors
/// `NotFound` if there is no such statement.
pub fn sqlite_plan(name: &str) -> Result<Vec<String>> {
    let statement = STATEMENTS
        .iter()
        .find(|statement| statement.name.ends_with(name))
        .ok_or(Error::NotFound("statement"))?;
    let mut connection = rusqlite::Connection::open_in_memory()?;
    super::migrate::sqlite(&mut connection)?;
    let explain = format!("EXPLAIN QUERY PLAN {}", statement.for_sqlite());
    let mut prepared = connection.prepare(&explain)?;
    let nulls = vec![rusqlite::types::Null; prepared.parameter_count()];
    let lines = prepared
        .query_map(rusqlite::params_from_iter(nulls), |row| row.get(3))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    Ok(lines)
}

/// A way to change a SQLite file behind the store's back.
///
/// # Errors
/// If the file cannot be opened.
pub fn raw_sqlite(path: &std::path::Path) -> Result<impl Fn(&str) -> Result<()>> {
    let connection = rusqlite::Connection::open(path)?;
    Ok(move |command: &str| Ok(connection.execute_batch(command)?))
}

/// Makes a SQLite file as a build did whose last migration had this number, and fills it.
///
/// # Errors
/// If the file cannot be made or filled.
pub fn old_sqlite(path: &std::path::Path, last: usize, fill: &str) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    super::migrate::sqlite_until(&mut connection, last)?;
    Ok(connection.execute_batch(fill)?)
}

/// The same of an empty PostgreSQL database.
///
/// # Errors
/// If the database cannot be reached or filled.
pub async fn old_postgres(url: &str, last: usize, fill: &str) -> Result<()> {
    let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    let driver = tokio::spawn(connection);
    super::migrate::postgres_until(&mut client, last).await?;
    client.batch_execute(fill).await?;
    drop(client);
    drop(driver.await);
    Ok(())
}

/// Every table and column of a SQLite file.
///
/// # Errors
/// If the file cannot be opened.
pub fn sqlite_columns(path: &std::path::Path) -> Result<Vec<(String, String)>> {
    let connection = rusqlite::Connection::open(path)?;
    let mut prepared = connection.prepare(
        "SELECT m.name, p.name
        FROM sqlite_master m
        JOIN pragma_table_info(m.name) p
        WHERE m.type = 'table'",
    )?;
    let columns = prepared
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(columns)
}
