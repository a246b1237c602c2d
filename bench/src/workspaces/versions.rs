//! Versions of a tree, beside the same tree with git and with tar.

use anyhow::{Context, Result};
use tokio::task::block_in_place;

use super::api::{Api, Workspace};
use super::by_hand::ByHand;
use super::tree::{Change, Size};
use crate::clock::SETTLES_WITHIN;
use crate::figures::{Pair, Samples};

/// What is read of each version; each change has written it or left it.
const FILE: &str = "dir-0/file-0";

/// One tree.
pub(super) struct Versions {
    pub(super) size: Size,
    /// All of it is new. Once: there is one first time.
    pub(super) first: Pair,
    pub(super) changes: Vec<Changed>,
    /// Of the whole tree, whatever changed.
    pub(super) tar: Samples,
    pub(super) untar: Samples,
    /// One file of an earlier version, against `git show`.
    pub(super) read: Pair,
}

/// What one change costs.
pub(super) struct Changed {
    pub(super) change: Change,
    /// Against `git add -A && git commit`.
    pub(super) capture: Pair,
    /// To before it, against `git reset --hard`: until the files are the current ones, and until a command has run.
    pub(super) restore: [Pair; 2],
}

pub(super) async fn measure(api: &Api<'_>, size: Size, rounds: u32) -> Result<Versions> {
    let mut versions = Versions {
        size,
        first: Pair::default(),
        changes: size.changes().map(Changed::of).into(),
        tar: Samples::default(),
        untar: Samples::default(),
        read: Pair::default(),
    };
    let by_hand = block_in_place(|| ByHand::make(size))?;
    let workspace = api.make().await?;
    let tree = by_hand.tree();
    // A live machine has it, as a tree that is worked on has one.
    workspace.exec(&["true"]).await?;
    workspace.put(tree.to_str().context("a path")?).await?;
    block_in_place(|| by_hand.begin().and_then(|()| by_hand.settle()))?;
    versions
        .first
        .theirs
        .push(block_in_place(|| by_hand.commit())?);
    block_in_place(|| by_hand.settle())?;
    let (mut current, took) = workspace.capture().await?;
    versions.first.ours.push(took);
    // The first round warms caches and does not count.
    for round in 0..=rounds {
        let tar = block_in_place(|| tar_round(&by_hand))?;
        for at in 0..versions.changes.len() {
            let change = versions.changes[at].change;
            let [commit, reset, show] = block_in_place(|| git_round(&by_hand, change))?;
            let ours = our_round(&workspace, change, &current).await?;
            current = ours.restored;
            if round > 0 {
                versions.changes[at].capture.push(ours.capture, commit);
                for (pair, took) in versions.changes[at].restore.iter_mut().zip(ours.restore) {
                    pair.push(took, reset);
                }
                versions.read.push(ours.read, show);
            }
        }
        if round > 0 {
            versions.tar.push(tar[0]);
            versions.untar.push(tar[1]);
        }
    }
    workspace.delete().await?;
    Ok(versions)
}

impl Changed {
    fn of(change: Change) -> Self {
        Self {
            change,
            capture: Pair::default(),
            restore: Default::default(),
        }
    }
}

fn tar_round(by_hand: &ByHand) -> Result<[f64; 2]> {
    let tar = by_hand.tar()?;
    by_hand.settle()?;
    let untar = by_hand.untar()?;
    by_hand.settle()?;
    Ok([tar, untar])
}

/// Commit, reset and show.
fn git_round(by_hand: &ByHand, change: Change) -> Result<[f64; 3]> {
    by_hand.change(change)?;
    by_hand.settle()?;
    let commit = by_hand.commit()?;
    by_hand.settle()?;
    let show = by_hand.show(FILE)?;
    let reset = by_hand.reset()?;
    by_hand.settle()?;
    Ok([commit, reset, show])
}

struct Ours {
    capture: f64,
    read: f64,
    restore: [f64; 2],
    /// The version that is current now.
    restored: String,
}

async fn our_round(workspace: &Workspace<'_>, change: Change, before: &str) -> Result<Ours> {
    workspace.exec(&["sh", "-c", &change.script()]).await?;
    tokio::time::sleep(SETTLES_WITHIN).await;
    let (version, capture) = workspace.capture().await?;
    let read = workspace.read(FILE, Some(&version)).await?;
    let (restored, restore) = workspace.restore(before).await?;
    tokio::time::sleep(SETTLES_WITHIN).await;
    Ok(Ours {
        capture,
        read,
        restore,
        restored,
    })
}
