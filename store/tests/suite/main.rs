//! The store's tests: the same ones on SQLite and on PostgreSQL.

mod catalog;
mod chaos;
mod engines;
mod execs;
mod files;
mod forks;
mod holdings;
mod holds;
mod leases;
mod logs;
mod migrations;
mod placement;
mod plans;
mod ptys;
mod public_tokens;
mod queues;
mod quotas;
mod reports;
mod retention;
mod runs;
mod sessions;
mod statements;
mod timers;
mod tokens;
mod transcript;
mod versions;
mod waits;
mod workspaces;
mod world;

/// Runs each test once on SQLite and once on PostgreSQL. At its end the events of every run must give its status.
macro_rules! on_both {
    ($($(#[doc = $doc:literal])* async fn $name:ident($world:ident) $body:block)*) => {$(
        async fn $name($world: crate::world::World) -> anyhow::Result<()> {
            $body
            $world.check_replays().await
        }

        mod $name {
            #[tokio::test]
            async fn sqlite() -> anyhow::Result<()> {
                super::$name(crate::world::World::on_sqlite().await?).await
            }

            #[tokio::test]
            async fn postgres() -> anyhow::Result<()> {
                super::$name(crate::world::World::on_postgres().await?).await
            }
        }
    )*};
}
use on_both;
