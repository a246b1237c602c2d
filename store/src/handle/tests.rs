//! What a transaction promises whatever its body does.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::Error;
use crate::db::{params, sql};

sql! {
    PUT = "INSERT INTO outbox (topic, subject_id, mark, marked_at)
        VALUES ('test', $1, 0, 0)";

    COUNT = "SELECT COUNT(*)
        FROM outbox
        WHERE topic = 'test'";
}

async fn put(store: &Store, name: &str) -> Result<()> {
    store
        .write(name.to_owned(), |tx, name| {
            Box::pin(async move {
                tx.run(&PUT, params![name]).await?;
                tx.hint(Hint::Queue);
                Ok(())
            })
        })
        .await
}

async fn count(store: &Store) -> u64 {
    store
        .read((), |tx, ()| {
            Box::pin(async move { tx.one(&COUNT, &[]).await?.take("count") })
        })
        .await
        .unwrap()
}

fn on_disk() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(&directory.path().join("helmr.db")).unwrap();
    (directory, store)
}

#[tokio::test]
async fn an_error_leaves_nothing_behind_and_tells_nothing() {
    let (_directory, store) = on_disk();
    let mut hints = store.hints();
    let failed: Result<()> = store
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.run(&PUT, params!["gone"]).await?;
                tx.hint(Hint::Queue);
                Err(Error::NotFound("anything"))
            })
        })
        .await;
    assert!(matches!(failed, Err(Error::NotFound(_))));
    assert_eq!(count(&store).await, 0);
    assert!(hints.try_recv().is_err());
    put(&store, "kept").await.unwrap();
    assert_eq!(count(&store).await, 1);
    assert_eq!(hints.try_recv().unwrap(), Hint::Queue);
}

#[tokio::test]
async fn a_panic_is_rolled_back_and_the_store_goes_on() {
    let (_directory, store) = on_disk();
    let failed: Result<()> = store
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.run(&PUT, params!["gone"]).await?;
                panic!("on purpose")
            })
        })
        .await;
    assert!(matches!(failed, Err(Error::Panicked)));
    put(&store, "kept").await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_transaction_that_waits_for_something_else_is_refused() {
    let (_directory, store) = on_disk();
    let failed: Result<()> = store
        .write((), |tx, ()| {
            Box::pin(async move {
                tx.run(&PUT, params!["gone"]).await?;
                std::future::pending().await
            })
        })
        .await;
    assert!(matches!(failed, Err(Error::Blocked)));
    assert_eq!(count(&store).await, 0);
}

#[tokio::test]
async fn a_failure_in_a_group_takes_nobody_else_with_it() {
    let (_directory, store) = on_disk();
    put(&store, "taken").await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        // Every tenth one is a duplicate.
        let name = if number % 10 == 0 {
            "taken".to_owned()
        } else {
            number.to_string()
        };
        writes.spawn(async move { put(&store, &name).await.is_ok() });
    }
    let done = writes.join_all().await;
    assert_eq!(done.iter().filter(|ok| **ok).count(), 180);
    assert_eq!(count(&store).await, 181);
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_directory, store) = on_disk();
    let refused = store.read((), |tx, ()| Box::pin(tx_put(tx))).await;
    assert!(refused.is_err());
    assert_eq!(count(&store).await, 0);
}

async fn tx_put(tx: &mut Tx) -> Result<u64> {
    tx.run(&PUT, params!["sneaked"]).await
}
