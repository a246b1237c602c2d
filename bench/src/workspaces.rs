//! Workspaces beside what people would use without them: versions beside git and tar, commands and files beside a container
//! that is entered by hand, wakes and forks beside `runsc` driven by hand.

mod api;
mod by_hand;
mod commands;
mod machines;
mod namespaces;
mod table;
mod tree;
mod versions;

use anyhow::Result;
use helmr_e2e::{Options, Server};

use crate::results;
use api::Api;
use tree::Size;

/// Runs `rounds` rounds of each, with trees up to the full size, and keeps the tables.
pub(crate) async fn run(rounds: u32) -> Result<()> {
    let body = measure(rounds, &[Size::FULL.by(50), Size::FULL]).await?;
    results::keep("workspaces", &body)
}

/// The same with trees of at most a fiftieth, to see that everything works. Keeps nothing.
pub(crate) async fn run_small(rounds: u32) -> Result<()> {
    let body = measure(rounds, &[Size::FULL.by(500), Size::FULL.by(50)]).await?;
    results::show("workspaces, small", &body);
    Ok(())
}

async fn measure(rounds: u32, sizes: &[Size]) -> Result<String> {
    let server = Server::start(Options {
        hot_window: "0ms",
        ..Options::default()
    })
    .await?;
    let api = Api::of(&server);
    let commands = commands::measure(&api, rounds).await?;
    let machines = machines::measure(&api, rounds).await?;
    let mut trees = Vec::new();
    for size in sizes {
        trees.push(versions::measure(&api, *size, rounds).await?);
    }
    Ok(table::all(&commands, &machines, &trees))
}
