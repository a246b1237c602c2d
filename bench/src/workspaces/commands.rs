//! Commands in a live machine, and its files read from outside, beside a container that is entered by hand.

use std::fs;

use anyhow::Result;
use tokio::task::block_in_place;

use super::api::{Api, Workspace};
use super::namespaces::Namespaces;
use crate::bare::Bare;
use crate::clock::work;
use crate::figures::{Pair, Samples};
use crate::machine::root_image;

/// Of each in a round: what takes milliseconds is measured often.
const TIMES: u32 = 10;
/// Name and size of what is read.
const FILES: [(&str, u64); 2] = [("small", 4 << 10), ("large", 1 << 20)];

#[derive(Default)]
pub(super) struct Commands {
    /// Against `runsc exec`.
    pub(super) exec: Pair,
    /// Against the same.
    pub(super) exec_by_cli: Pair,
    /// Of an ordinary process in namespaces.
    pub(super) nsenter: Samples,
    /// 4 KiB, and 1 MiB.
    pub(super) reads: [Pair; 2],
}

pub(super) async fn measure(api: &Api<'_>, rounds: u32) -> Result<Commands> {
    let workspace = api.make().await?;
    workspace.exec(&["true"]).await?;
    for (name, bytes) in FILES {
        let script = format!("head -c {bytes} /dev/urandom > {name}");
        workspace.exec(&["sh", "-c", &script]).await?;
    }
    let image = root_image(api.server)?;
    let (bare, namespaces) = block_in_place(|| -> Result<_> {
        let mut bare = Bare::new(&image)?;
        for (name, bytes) in FILES {
            fs::write(
                bare.workspace().join(name),
                vec![7; usize::try_from(bytes)?],
            )?;
        }
        bare.start()?;
        work();
        Ok((bare, Namespaces::make()?))
    })?;
    let mut measured = Commands::default();
    // The first round warms caches and does not count.
    round(&workspace, (&bare, &namespaces), &mut Commands::default()).await?;
    for _ in 0..rounds {
        round(&workspace, (&bare, &namespaces), &mut measured).await?;
    }
    workspace.delete().await?;
    Ok(measured)
}

async fn round(
    workspace: &Workspace<'_>,
    (bare, namespaces): (&Bare, &Namespaces),
    into: &mut Commands,
) -> Result<()> {
    for _ in 0..TIMES {
        into.nsenter
            .push(block_in_place(|| namespaces.exec(&["true"]))?);
        let by_hand = block_in_place(|| bare.exec(&["true"]))?;
        into.exec.theirs.push(by_hand);
        into.exec.ours.push(workspace.exec(&["true"]).await?);
        into.exec_by_cli.theirs.push(by_hand);
        into.exec_by_cli.ours.push(workspace.exec_by_cli().await?);
        for ((name, _), pair) in FILES.iter().zip(&mut into.reads) {
            let path = format!("/workspace/{name}");
            pair.theirs
                .push(block_in_place(|| bare.exec(&["cat", &path]))?);
            pair.ours.push(workspace.read(name, None).await?);
        }
    }
    Ok(())
}
