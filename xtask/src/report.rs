//! What a person sees of a run: each step's name, how it went and how long it took.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::env;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    /// A step that it builds on failed.
    NotRun,
}

/// Runs a step between a heading and a line with its outcome and time.
pub(crate) fn step(name: &str, work: impl FnOnce() -> Result<()>) -> (Outcome, Duration) {
    eprintln!("{}", bold(&format!("── {name}")));
    let started = Instant::now();
    let done = work();
    let took = started.elapsed();
    match done {
        Ok(()) => {
            eprintln!("{} {name} ({})", colored("32", "✓"), seconds(took));
            (Outcome::Passed, took)
        }
        Err(problem) => {
            error(&problem);
            eprintln!("{} {name} ({})", colored("31", "✗"), seconds(took));
            (Outcome::Failed, took)
        }
    }
}

/// Prints a closing table of steps.
pub(crate) fn summary(steps: &[(&str, Outcome, Duration)]) {
    eprintln!("{}", bold("── summary"));
    for (name, outcome, took) in steps {
        let (sign, note) = match outcome {
            Outcome::Passed => (colored("32", "✓"), seconds(*took)),
            Outcome::Failed => (colored("31", "✗"), format!("{}, failed", seconds(*took))),
            Outcome::NotRun => (colored("33", "–"), "not run".to_owned()),
        };
        eprintln!("{sign} {name:<12} {note:>10}");
    }
}

/// Prints an error with its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("{} {error:#}", colored("31", "error:"));
}

/// Prints a line of progress.
pub(crate) fn note(text: &str) {
    eprintln!("   {text}");
}

fn seconds(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

fn bold(text: &str) -> String {
    colored("1", text)
}

fn colored(code: &str, text: &str) -> String {
    if std::io::stderr().is_terminal() && !env::no_color() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
