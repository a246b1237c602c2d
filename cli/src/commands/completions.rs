//! `helmr completions`: a script for the user's shell.

use clap_complete::Shell;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell that reads the script
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(
    arguments: &Arguments,
    context: &Context,
    mut tree: clap::Command,
) -> Result<(), CommandError> {
    let name = tree.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut tree, name, &mut script);
    context.output.bytes(&script)
}
