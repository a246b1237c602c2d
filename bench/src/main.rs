//! Measures Helmr against bare baselines taken in the same run: `machine` against `runsc` driven by hand, `store` against a
//! bare durable commit, `sessions` against a peer, `workspaces` against git, tar and `runsc`. Prints a table and keeps the latest in `bench/RESULTS.md`.
//!
//! The machine is shared and noisy: the rounds alternate between the two, medians are compared, and ratios and differences are
//! what counts.

mod bare;
mod clock;
mod figures;
mod machine;
mod results;
mod sessions;
mod store;
mod workspaces;

use anyhow::{Result, bail};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = match arguments.get(1) {
        Some(rounds) => rounds.parse()?,
        None => 15,
    };
    match arguments.first().map(String::as_str) {
        Some("machine") => machine::run(rounds).await,
        Some("sessions") => sessions::run(rounds).await,
        Some("store") => store::run(rounds).await,
        Some("waiting") => sessions::waiting().await,
        Some("workspaces") => workspaces::run(rounds).await,
        Some("workspaces-small") => workspaces::run_small(rounds).await,
        _ => bail!(
            "usage: cargo xtask bench machine|sessions|store|workspaces|workspaces-small [ROUNDS] | waiting"
        ),
    }
}
