//! The store's tests: the same ones on SQLite and on PostgreSQL.

mod engines;
mod reports;
mod runs;
mod sessions;
mod statements;
mod waits;
mod world;

/// Runs each test once on SQLite and once on PostgreSQL.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* async fn $name:ident($world:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn check($world: crate::world::World) -> anyhow::Result<()> {
                $body
                Ok(())
            }

            #[tokio::test]
            async fn sqlite() -> anyhow::Result<()> {
                check(crate::world::World::on_sqlite().await?).await
            }

            #[tokio::test]
            async fn postgres() -> anyhow::Result<()> {
                check(crate::world::World::on_postgres().await?).await
            }
        }
    )*};
}
use on_both;
