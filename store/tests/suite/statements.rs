//! Every statement, on both engines.

use anyhow::Result;
use helmr_store::check;
use helmr_testkit::postgres::Postgres;

#[test]
fn every_statement_prepares_on_sqlite() -> Result<()> {
    assert!(check::count() > 100, "statements are not registered");
    let failures = check::prepare_all_on_sqlite()?;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

#[tokio::test]
async fn every_statement_prepares_on_postgresql_with_types_that_sqlite_has() -> Result<()> {
    let url = Postgres::shared().await?.database().await?;
    let failures = check::prepare_all_on_postgres(&url).await?;
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
