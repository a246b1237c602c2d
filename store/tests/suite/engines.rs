//! The database layer itself.

use std::sync::Arc;

use anyhow::Result;
use helmr_store::{Error, Store, setup};
use helmr_testkit::postgres::Postgres;

#[tokio::test]
async fn a_sqlite_file_opens_again_with_what_was_committed() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("helmr.db");
    let store = Store::open_sqlite(&path)?;
    let first = setup::first_start(&store, crate::world::first_start()).await?;
    drop(store);
    let store = Store::open_sqlite(&path)?;
    store.ping().await?;
    let again = setup::first_start(&store, crate::world::first_start()).await?;
    assert!(first.created && !again.created);
    assert_eq!(first.scope, again.scope);
    Ok(())
}

#[tokio::test]
async fn a_database_with_another_history_is_refused() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("helmr.db");
    drop(Store::open_sqlite(&path)?);
    let connection = helmr_store::check::raw_sqlite(&path)?;
    connection("UPDATE schema_migrations SET checksum = 'other' WHERE number = 1")?;
    let refused = Store::open_sqlite(&path);
    assert!(
        matches!(refused, Err(Error::Migration { number: 1 })),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn two_that_migrate_an_empty_postgresql_at_once_both_succeed() -> Result<()> {
    let url = Arc::new(Postgres::shared().await?.empty_database().await?);
    let (one, other) = tokio::join!(Store::connect_postgres(&url), Store::connect_postgres(&url));
    one?.ping().await?;
    other?.ping().await?;
    Ok(())
}

#[tokio::test]
async fn an_unreachable_postgresql_is_unavailable() {
    let refused = Store::connect_postgres("host=/nonexistent user=nobody dbname=none").await;
    assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
}
