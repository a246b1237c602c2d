//! The whole command line.

use clap::{Parser, Subcommand};
use helmr_cli::Global;

use crate::{doctor, reference, up};

/// A self-hosted runtime for coding agents
///
/// Helmr runs tasks written in TypeScript in isolated machines. A task may wait for days: its machine is set aside and
/// continues on the very next line.
#[derive(Debug, Parser)]
#[command(name = "helmr", version, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server here: control plane and worker, on one data directory
    Up(up::Arguments),

    /// Check whether machines can run here, and say how to mend what is missing
    Doctor(doctor::Arguments),

    /// Print a reference page
    #[command(hide = true)]
    Reference(reference::Arguments),

    #[command(flatten)]
    Client(helmr_cli::Command),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_reference_page_is_that_of_this_code() {
        let made = helmr_cli::reference::commands(&Arguments::command());
        let kept = include_str!("../../docs/cli.md");
        assert!(
            made == kept,
            "docs/cli.md is stale: run cargo xtask codegen and review the change"
        );
    }

    #[test]
    fn every_command_says_what_it_does() {
        fn check(command: &clap::Command, path: &str) {
            assert!(command.get_about().is_some(), "{path} has no help");
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{path} {} has no help",
                    argument.get_id()
                );
            }
            for inner in command.get_subcommands() {
                check(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        let mut tree = Arguments::command();
        tree.build();
        check(&tree, "helmr");
    }
}
