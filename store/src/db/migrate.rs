//! Migrations: forward only, each checked against what was applied, all of them under a lock.

use rusqlite::Connection;

use crate::{Error, Result};

struct Migration {
    number: i64,
    name: &'static str,
    text: &'static str,
}

const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "create_tables",
        text: include_str!("../../migrations/0001_create_tables.sql"),
    },
    Migration {
        number: 2,
        name: "runs",
        text: include_str!("../../migrations/0002_runs.sql"),
    },
    Migration {
        number: 3,
        name: "conversation",
        text: include_str!("../../migrations/0003_conversation.sql"),
    },
    Migration {
        number: 4,
        name: "workspaces",
        text: include_str!("../../migrations/0004_workspaces.sql"),
    },
    Migration {
        number: 5,
        name: "execs",
        text: include_str!("../../migrations/0005_execs.sql"),
    },
    Migration {
        number: 6,
        name: "want_machines",
        text: include_str!("../../migrations/0006_want_machines.sql"),
    },
    Migration {
        number: 7,
        name: "forks",
        text: include_str!("../../migrations/0007_forks.sql"),
    },
    Migration {
        number: 8,
        name: "quotas",
        text: include_str!("../../migrations/0008_quotas.sql"),
    },
    Migration {
        number: 9,
        name: "ptys",
        text: include_str!("../../migrations/0009_ptys.sql"),
    },
    Migration {
        number: 10,
        name: "versions",
        text: include_str!("../../migrations/0010_versions.sql"),
    },
    Migration {
        number: 11,
        name: "files",
        text: include_str!("../../migrations/0011_files.sql"),
    },
];

/// Taken by whoever migrates a PostgreSQL database.
const ADVISORY_LOCK: i64 = 0x68_65_6c_6d_72;

const CREATE_HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    number {int} NOT NULL PRIMARY KEY,
    name {text} NOT NULL,
    checksum {text} NOT NULL
){strict}";

/// How an engine writes the types of a migration.
struct Dialect {
    int: &'static str,
    real: &'static str,
    text: &'static str,
    bytes: &'static str,
    strict: &'static str,
    /// The texts of column `tags` of `o`, as a table `tag` of one column, `value`.
    tags: &'static str,
}

const SQLITE: Dialect = Dialect {
    int: "INTEGER",
    real: "REAL",
    text: "TEXT",
    bytes: "BLOB",
    strict: " STRICT",
    tags: "json_each(o.tags) AS tag",
};

const POSTGRES: Dialect = Dialect {
    int: "BIGINT",
    real: "DOUBLE PRECISION",
    // Ids and cursors sort by their bytes, as in SQLite.
    text: "TEXT COLLATE \"C\"",
    bytes: "BYTEA",
    strict: "",
    tags: "json_array_elements_text(CAST(o.tags AS json)) AS tag (value)",
};

fn expand(text: &str, dialect: &Dialect) -> String {
    text.replace("{int}", dialect.int)
        .replace("{real}", dialect.real)
        .replace("{text}", dialect.text)
        .replace("{bytes}", dialect.bytes)
        .replace("{strict}", dialect.strict)
        .replace("{tags of o}", dialect.tags)
}

/// Of the text before expansion, so that it is the same on both engines.
fn checksum(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

/// The migrations that are still to be applied.
fn missing(
    applied: &[(i64, String)],
    migrations: &'static [Migration],
) -> Result<&'static [Migration]> {
    for (index, (number, sum)) in applied.iter().enumerate() {
        let known = migrations
            .get(index)
            .is_some_and(|known| known.number == *number && checksum(known.text) == *sum);
        if !known {
            return Err(Error::Migration { number: *number });
        }
    }
    Ok(&migrations[applied.len()..])
}

pub(super) fn sqlite(connection: &mut Connection) -> Result<()> {
    sqlite_to(connection, MIGRATIONS)
}

/// The migrations that an earlier build knew.
fn known_to(last: usize) -> &'static [Migration] {
    &MIGRATIONS[..last.min(MIGRATIONS.len())]
}

/// Migrates as a build did whose last migration had this number.
pub(super) fn sqlite_until(connection: &mut Connection, last: usize) -> Result<()> {
    sqlite_to(connection, known_to(last))
}

fn sqlite_to(connection: &mut Connection, migrations: &'static [Migration]) -> Result<()> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    tx.execute_batch(&expand(CREATE_HISTORY, &SQLITE))?;
    let applied = tx
        .prepare("SELECT number, checksum FROM schema_migrations ORDER BY number")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
    for migration in missing(&applied, migrations)? {
        tx.execute_batch(&expand(migration.text, &SQLITE))?;
        tx.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES (?1, ?2, ?3)",
            (migration.number, migration.name, checksum(migration.text)),
        )?;
    }
    Ok(tx.commit()?)
}

pub(super) async fn postgres(connection: &mut deadpool_postgres::Object) -> Result<()> {
    let tx = connection.transaction().await?;
    postgres_to(&tx, MIGRATIONS).await?;
    Ok(tx.commit().await?)
}

/// Migrates as a build did whose last migration had this number.
pub(super) async fn postgres_until(client: &mut tokio_postgres::Client, last: usize) -> Result<()> {
    let tx = client.transaction().await?;
    postgres_to(&tx, known_to(last)).await?;
    Ok(tx.commit().await?)
}

async fn postgres_to(
    tx: &tokio_postgres::Transaction<'_>,
    migrations: &'static [Migration],
) -> Result<()> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &[&ADVISORY_LOCK])
        .await?;
    tx.batch_execute(&expand(CREATE_HISTORY, &POSTGRES)).await?;
    let applied: Vec<(i64, String)> = tx
        .query(
            "SELECT number, checksum FROM schema_migrations ORDER BY number",
            &[],
        )
        .await?
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for migration in missing(&applied, migrations)? {
        tx.batch_execute(&expand(migration.text, &POSTGRES)).await?;
        tx.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES ($1, $2, $3)",
            &[
                &migration.number,
                &migration.name,
                &checksum(migration.text),
            ],
        )
        .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use super::*;

    #[test]
    fn a_database_with_another_history_is_refused() {
        let right: Vec<_> = MIGRATIONS
            .iter()
            .map(|known| (known.number, checksum(known.text)))
            .collect();
        assert!(missing(&right, MIGRATIONS).unwrap().is_empty());
        assert_eq!(
            missing(&right[..1], MIGRATIONS).unwrap().len(),
            MIGRATIONS.len() - 1
        );
        assert_eq!(missing(&[], MIGRATIONS).unwrap().len(), MIGRATIONS.len());
        let changed = vec![(1, checksum("other"))];
        assert!(matches!(
            missing(&changed, MIGRATIONS),
            Err(Error::Migration { number: 1 })
        ));
        let mut later = right;
        later.push((1_000, checksum("later")));
        assert!(matches!(
            missing(&later, MIGRATIONS),
            Err(Error::Migration { number: 1_000 })
        ));
    }

    #[test]
    fn opening_again_applies_nothing_twice() {
        let mut connection = Connection::open_in_memory().unwrap();
        sqlite(&mut connection).unwrap();
        sqlite(&mut connection).unwrap();
    }
}
