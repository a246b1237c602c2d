//! `helmr-sim`: plays schedules. `cargo xtask sim` builds and runs it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use helmr_sim::{Base, Played, play};

/// Lines of a failed schedule that are shown.
const LAST_LINES: usize = 60;

/// Plays simulated schedules of the durable core.
#[derive(Debug, Parser)]
struct Arguments {
    /// Play this one schedule.
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Play so many schedules.
    #[arg(long, default_value_t = 2_000)]
    seeds: u64,
    /// From this seed on.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Threads, each with a store of its own.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Print everything that happens in the schedule, with `--seed`.
    #[arg(long)]
    trace: bool,
    /// Tell how far it is, every so many schedules.
    #[arg(long, default_value_t = 0)]
    progress: u64,
    /// Print only the first finding, in one line, for programs.
    #[arg(long)]
    brief: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => many(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn one(seed: u64, arguments: &Arguments) -> Result<bool> {
    let base = Base::make()?;
    let played = play(&base, seed, true)?;
    if arguments.trace {
        for line in &played.trace {
            println!("{line}");
        }
    }
    if played.violation.is_some() {
        report(seed, &played, arguments);
        return Ok(false);
    }
    println!(
        "seed {seed}: {} steps, {} ms simulated, {} runs, {} waits, {} execs, hash {:016x}",
        played.steps, played.simulated_ms, played.runs, played.waits, played.execs, played.hash
    );
    Ok(true)
}

fn report(seed: u64, played: &Played, arguments: &Arguments) {
    let Some(violation) = &played.violation else {
        return;
    };
    if arguments.brief {
        println!("seed {seed}\t{}\t{}", violation.invariant, violation.detail);
        return;
    }
    if !arguments.trace {
        let from = played.trace.len().saturating_sub(LAST_LINES);
        for line in &played.trace[from..] {
            eprintln!("{line}");
        }
    }
    eprintln!("\nseed {seed}, step {}: {violation}", played.steps);
    eprintln!("to replay: cargo xtask sim --seed {seed} --trace");
}

#[derive(Default)]
struct Totals {
    played: AtomicU64,
    steps: AtomicU64,
    simulated_ms: AtomicU64,
    runs: AtomicU64,
    waits: AtomicU64,
    execs: AtomicU64,
}

fn many(arguments: &Arguments) -> Result<bool> {
    let begun = Instant::now();
    let totals = Totals::default();
    let next = AtomicU64::new(arguments.first);
    let end = arguments.first + arguments.seeds;
    let found: Mutex<Option<u64>> = Mutex::new(None);
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..arguments.jobs.max(1))
            .map(|_| scope.spawn(|| worker(arguments, &next, end, &totals, &found, begun)))
            .collect();
        for worker in workers {
            worker
                .join()
                .map_err(|_| anyhow::anyhow!("a schedule panicked"))??;
        }
        Ok(())
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let played = totals.played.load(Ordering::Relaxed);
    if !arguments.brief {
        println!(
            "{played} schedules in {seconds:.1} s ({:.0} a second): {} steps, {} runs, {} waits, {} execs, {:.0} simulated hours",
            per_second(played, seconds),
            totals.steps.load(Ordering::Relaxed),
            totals.runs.load(Ordering::Relaxed),
            totals.waits.load(Ordering::Relaxed),
            totals.execs.load(Ordering::Relaxed),
            per_second(totals.simulated_ms.load(Ordering::Relaxed), 3_600_000.0),
        );
    }
    let found = *found
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let Some(seed) = found else { return Ok(true) };
    let base = Base::make()?;
    let again = play(&base, seed, true)?;
    again
        .violation
        .as_ref()
        .context("a schedule that failed did not fail again")?;
    report(seed, &again, arguments);
    Ok(false)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn per_second(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

fn worker(
    arguments: &Arguments,
    next: &AtomicU64,
    end: u64,
    totals: &Totals,
    found: &Mutex<Option<u64>>,
    begun: Instant,
) -> Result<()> {
    let base = Base::make()?;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return Ok(());
        }
        let played = play(&base, seed, false)?;
        let count = totals.played.fetch_add(1, Ordering::Relaxed) + 1;
        totals.steps.fetch_add(played.steps, Ordering::Relaxed);
        let simulated = u64::try_from(played.simulated_ms).unwrap_or(0);
        totals.simulated_ms.fetch_add(simulated, Ordering::Relaxed);
        let runs = u64::try_from(played.runs).unwrap_or(0);
        totals.runs.fetch_add(runs, Ordering::Relaxed);
        let waits = u64::try_from(played.waits).unwrap_or(0);
        totals.waits.fetch_add(waits, Ordering::Relaxed);
        let execs = u64::try_from(played.execs).unwrap_or(0);
        totals.execs.fetch_add(execs, Ordering::Relaxed);
        if arguments.progress > 0 && count.is_multiple_of(arguments.progress) {
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!(
                "{count} schedules, {:.0} a second",
                per_second(count, seconds)
            );
        }
        if played.violation.is_some() {
            let mut first = found
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            *first = Some(first.map_or(seed, |known| known.min(seed)));
            // The others stop with what they are at.
            next.store(end, Ordering::Relaxed);
            return Ok(());
        }
    }
}
