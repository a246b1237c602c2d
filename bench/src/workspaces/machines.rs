//! A parked machine that a command wakes, and a live one that is forked, beside `runsc` driven by hand.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use helmr_e2e::poll_until;
use serde_json::json;
use tokio::task::block_in_place;

use super::api::{Api, Workspace};
use crate::bare::Bare;
use crate::clock::{SETTLES_WITHIN, settle, work};
use crate::figures::Pair;
use crate::machine::{milliseconds, root_image};

/// The same memory as the bare program's, in a process that stays.
const HOLDS_MEMORY: &str = "node -e 'const heap = require(\"node:crypto\").randomBytes(8 << 20); \
     setInterval(() => heap, 1000)' > /dev/null 2>&1 &";

#[derive(Default)]
pub(super) struct Machines {
    /// Until a command has run, against the bare program's next line.
    pub(super) wake: Pair,
    /// Until the fork is there and the original goes on.
    pub(super) fork: Pair,
    /// Until a command has run in the fork, against the copy's next line.
    pub(super) fork_and_wake: Pair,
}

pub(super) async fn measure(api: &Api<'_>, rounds: u32) -> Result<Machines> {
    let image = root_image(api.server)?;
    let (parked, original) = (waiting(api).await?, api.make().await?);
    original.exec(&["sh", "-c", HOLDS_MEMORY]).await?;
    let mut measured = Machines::default();
    // The first round warms caches and does not count.
    for round in 0..=rounds {
        let theirs = block_in_place(|| by_hand(&image))?;
        let ours = our_round(&parked, &original).await?;
        if round > 0 {
            measured.wake.push(ours[0], theirs[0]);
            measured.fork.push(ours[1], theirs[1]);
            measured.fork_and_wake.push(ours[2], theirs[2]);
        }
    }
    for workspace in [parked, original] {
        workspace.delete().await?;
    }
    Ok(measured)
}

async fn our_round(parked: &Workspace<'_>, original: &Workspace<'_>) -> Result<[f64; 3]> {
    tokio::time::sleep(SETTLES_WITHIN).await;
    let wake = parked.exec(&["true"]).await?;
    parked.await_machine("parked").await?;
    tokio::time::sleep(SETTLES_WITHIN).await;
    let begun = Instant::now();
    let copy = original.fork().await?;
    let fork = milliseconds(begun);
    copy.exec(&["true"]).await?;
    let fork_and_wake = milliseconds(begun);
    copy.delete().await?;
    Ok([wake, fork, fork_and_wake])
}

/// Wake, fork, and fork with wake.
fn by_hand(image: &std::path::Path) -> Result<[f64; 3]> {
    let mut machine = Bare::new(image)?;
    machine.start()?;
    work();
    machine.park()?;
    settle();
    let wake = machine.wake()?;
    settle();
    let (fork, fork_and_wake) = machine.fork()?;
    Ok([wake, fork, fork_and_wake])
}

/// The workspace of a run that holds memory and waits, parked.
async fn waiting<'a>(api: &'a Api<'a>) -> Result<Workspace<'a>> {
    let (_, run) = api.server.start_session(&json!({"task": "bench"})).await?;
    let workspace = poll_until("the run's workspace", Duration::from_secs(30), || async {
        let run = api.server.run(&run).await?;
        let id = run["workspace_id"].as_str().map(str::to_owned);
        Ok(id.ok_or_else(|| run.to_string()))
    })
    .await?;
    api.server.await_parked(&run).await.context("bench")?;
    let workspace = api.workspace(&workspace);
    workspace.await_machine("parked").await?;
    Ok(workspace)
}
