//! `helmr completions`: a script for the user's shell.

use clap_complete::Shell;

use crate::context::Context;
use crate::error::CommandError;

/// The program as it is called.
const NAME: &str = "helmr";

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell that reads the script
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(
    arguments: &Arguments,
    context: &Context,
    tree: &clap::Command,
) -> Result<(), CommandError> {
    let shown = tree
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    // The generator knows nothing of hidden commands, so it gets a tree without them.
    let mut tree = clap::Command::new(NAME)
        .args(tree.get_arguments())
        .subcommands(shown);
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut tree, NAME, &mut script);
    context.output.bytes(&script)
}
