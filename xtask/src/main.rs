//! `cargo xtask`: builds everything a user runs and checks everything a change must keep.
//!
//! It calls the tools of the trade and reports; what it knows of Helmr is where things are.

#![expect(
    clippy::print_stderr,
    reason = "a program for the terminal: it talks to a person"
)]

mod bench;
mod build;
mod check;
mod codegen;
mod command;
mod env;
mod report;
mod scale;
mod sdk;
mod sim;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use workspace::Workspace;

/// Builds Helmr and checks the checkout.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build everything a user runs: the guest, the SDK and the binary that carries both.
    Build {
        /// Build with optimisations, as target/release/helmr.
        #[arg(long)]
        release: bool,
    },
    /// Run every check that a change must pass; this is what CI runs.
    Check {
        /// Only these steps, in this order.
        #[arg(value_enum)]
        steps: Vec<check::Step>,
    },
    /// Check the house rules that no other tool knows.
    Tidy,
    /// Write the generated files anew.
    Codegen,
    /// Measure against bare baselines and keep the table in bench/RESULTS.md.
    Bench {
        /// What to measure.
        #[arg(value_enum)]
        what: bench::What,
        /// Rounds, alternating with the baseline.
        #[arg(default_value_t = 15)]
        rounds: u32,
    },
    /// Test large trees at their full size; `check` has them at a fiftieth.
    Scale {
        /// What is made large.
        #[arg(value_enum)]
        what: scale::What,
    },
    /// Build everything and test the shipped binary from outside.
    E2e {
        /// Given to `cargo test`, for example the name of a test.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<String>,
    },
    /// Play simulated schedules of the durable core: many, or one by its seed.
    Sim(sim::Arguments),
    /// Look the dependencies up in the advisory database. Needs the internet.
    Advisories,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = Workspace::find().and_then(|workspace| match arguments.task {
        Task::Build { release } => build::run(&workspace, build::Profile::from_release(release)),
        Task::Check { steps } => check::run(&workspace, &steps),
        Task::Tidy => tidy::run(&workspace),
        Task::Codegen => codegen::write(&workspace),
        Task::Bench { what, rounds } => bench::run(&workspace, what, rounds),
        Task::Scale { what } => scale::run(&workspace, what),
        Task::E2e { rest } => build::run(&workspace, build::Profile::Release)
            .and_then(|()| check::end_to_end(&workspace, &rest)),
        Task::Sim(arguments) => sim::run(&workspace, &arguments),
        Task::Advisories => check::advisories(&workspace),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::error(&error);
            ExitCode::FAILURE
        }
    }
}
