//! The tables.

use super::commands::Commands;
use super::machines::Machines;
use super::versions::Versions;
use crate::figures::{Pair, Samples};

/// Of an exec in a live machine.
const EXEC_GOAL_MS: f64 = 15.0;

pub(super) fn all(commands: &Commands, machines: &Machines, trees: &[Versions]) -> String {
    let mut text = format!(
        "{} rounds in turn; milliseconds, median (min–max).\n\n",
        machines.wake.ours.count()
    );
    text += "| in a machine | Helmr | by hand | ratio | |\n|---|---|---|---|---|\n";
    text += &row("`true`, by API", &commands.exec, "`runsc exec`");
    text += &row(
        "`true`, by `helmr workspace exec`",
        &commands.exec_by_cli,
        "`runsc exec`",
    );
    let [small, large] = &commands.reads;
    text += &row("read 4 KiB, by API", small, "`runsc exec cat`");
    text += &row("read 1 MiB, by API", large, "`runsc exec cat`");
    text += &row("wake by exec", &machines.wake, "`runsc restore`");
    text += &row(
        "live fork",
        &machines.fork,
        "`runsc` pause, checkpoint, resume",
    );
    text += &row(
        "live fork, until it runs a command",
        &machines.fork_and_wake,
        "the same and `runsc restore`",
    );
    let p50 = commands.exec.ours.median();
    let verdict = if p50 < EXEC_GOAL_MS { "met" } else { "missed" };
    text += &format!(
        "\n`true` by API has a goal of under {EXEC_GOAL_MS:.0} ms: {verdict} ({p50:.1}). The least that anybody can do, `nsenter` of a process that no \
         kernel stands around: {}.\n",
        commands.nsenter.summary()
    );
    for tree in trees {
        text += &of_tree(tree);
    }
    text + "\n*Exec*: the call until its exit code is known, in three requests as the SDK makes them. *Read*: until the last byte. *Wake*: an exec in \
            a parked machine until its exit code is known, against the bare Node's next line. *Fork*: the call until its answer, with \
            8 MiB of memory in one process; by hand without a copy of the files. *Capture*: the call until the version is durable; a live machine \
            stands still meanwhile. Neither git nor tar waits for the disk. *Restore*: the call until the version is the current one, when no file is in place yet, and \
            until a command has run with it in the next machine; git and tar bring back files alone.\n"
}

fn of_tree(tree: &Versions) -> String {
    let mut text = format!(
        "\n| {} | Helmr | git | ratio | tar | ratio | |\n|---|---|---|---|---|---|---|\n",
        tree.size
    );
    text += &versus("capture, all of it new", &tree.first, Some(&tree.tar));
    for changed in &tree.changes {
        let what = format!("capture, {} changed", changed.change.name());
        text += &versus(&what, &changed.capture, Some(&tree.tar));
    }
    for changed in &tree.changes {
        let what = format!("restore, {} changed", changed.change.name());
        let [current, ran] = &changed.restore;
        text += &versus(&what, current, Some(&tree.untar));
        let what = format!("{what}, and a command run");
        text += &versus(&what, ran, Some(&tree.untar));
    }
    text + &versus("read 1 MiB of a version", &tree.read, None)
}

fn row(what: &str, pair: &Pair, by_hand: &str) -> String {
    format!(
        "| {what} | {} | {} ({by_hand}) | {:.2} | {} |\n",
        pair.ours.summary(),
        pair.theirs.summary(),
        pair.ratio(),
        verdict(pair.ratio() < 1.0)
    )
}

fn versus(what: &str, git: &Pair, tar: Option<&Samples>) -> String {
    let ours = &git.ours;
    let of_tar = tar.map(|tar| ours.median() / tar.median());
    format!(
        "| {what} | {} | {} | {:.2} | {} | {} | {} |\n",
        ours.summary(),
        git.theirs.summary(),
        git.ratio(),
        tar.map_or_else(|| "–".to_owned(), Samples::summary),
        of_tar.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        verdict(git.ratio() < 1.0 && of_tar.is_none_or(|ratio| ratio < 1.0))
    )
}

fn verdict(ahead: bool) -> &'static str {
    if ahead { "ahead" } else { "behind" }
}
