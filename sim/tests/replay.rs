//! A seed is a schedule: played again, it is the same to the last row.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use helmr_sim::{Base, play};

#[test]
fn a_seed_replays_in_another_store_and_after_other_schedules() -> Result<()> {
    let (one, other) = (Base::make()?, Base::make()?);
    let mut hashes = Vec::new();
    for seed in 0..12 {
        let played = play(&one, seed, false)?;
        assert_eq!(played.violation, None, "seed {seed}");
        hashes.push((played.hash, played.steps));
    }
    for seed in (0..12).rev() {
        let again = play(&other, seed, true)?;
        let index = usize::try_from(seed)?;
        assert_eq!((again.hash, again.steps), hashes[index], "seed {seed}");
    }
    let mut different = hashes.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(
        different.len(),
        hashes.len(),
        "each seed is a schedule of its own"
    );
    Ok(())
}

/// What no schedule comes to, no schedule proves.
#[test]
fn schedules_come_to_what_they_are_for() -> Result<()> {
    const WANTED: [&str; 10] = [
        "a machine is set aside under an exec",
        "a public access token is used up",
        "a queue lets a run go",
        "a wait holds its run when it is over",
        "a workspace is deleted",
        "an exec is lost with its machine",
        "an exec reads its input",
        "an exec times out",
        "an exec wakes a machine beside a waiting run",
        "an exec's window moves on",
    ];
    let base = Base::make()?;
    let mut reached = BTreeSet::new();
    for seed in 0..2_000 {
        reached.extend(play(&base, seed, false)?.reached);
        if WANTED.iter().all(|wanted| reached.contains(wanted)) {
            return Ok(());
        }
    }
    let missing: Vec<_> = WANTED
        .iter()
        .filter(|wanted| !reached.contains(*wanted))
        .collect();
    anyhow::bail!("in 2,000 schedules there was never: {missing:?}")
}

#[test]
fn the_trace_of_a_schedule_tells_what_happened_in_order() -> Result<()> {
    let base = Base::make()?;
    let played = play(&base, 3, true)?;
    let at = |what: &str| {
        let mut lines = played.trace.iter();
        lines
            .position(|line| line.contains(what))
            .with_context(|| what.to_owned())
    };
    assert!(at("the control plane starts")? < at("posts Register")?);
    assert!(at("posts Register")? < at("CALM")?);
    assert!(at("CALM")? < at("has drained")?);
    Ok(())
}
