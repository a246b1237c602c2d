//! `helmr workspace files`.

mod change;
mod find;
mod path;
mod read;
mod transfer;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List a directory
    Ls(read::Ls),
    /// Show what is known of a file
    Stat(read::Stat),
    /// Print a file, or a part of it
    Cat(read::Cat),
    /// Copy a file or a directory into the workspace; `-` is standard input
    Put(transfer::Put),
    /// Copy a file or a directory out of the workspace; `-` is standard output, for a directory as a tar
    Get(transfer::Get),
    /// Add standard input at a file's end
    Append(transfer::Append),
    /// Remove a file, a link or a directory
    Rm(change::Rm),
    /// Move a file, a link or a directory
    Mv(change::Mv),
    /// Make a directory
    Mkdir(change::Mkdir),
    /// Change the mode of a file or a directory
    Chmod(change::Chmod),
    /// Find files by a pattern of their paths
    Glob(find::Glob),
    /// Find lines in files
    Grep(find::Grep),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        match self {
            Self::Ls(arguments) => read::ls(arguments, context, &client).await,
            Self::Stat(arguments) => read::stat(arguments, context, &client).await,
            Self::Cat(arguments) => read::cat(arguments, context, &client).await,
            Self::Put(arguments) => transfer::put(arguments, context, &client).await,
            Self::Get(arguments) => transfer::get(arguments, context, &client).await,
            Self::Append(arguments) => transfer::append(arguments, context, &client).await,
            Self::Rm(arguments) => change::rm(arguments, &client).await,
            Self::Mv(arguments) => change::mv(arguments, context, &client).await,
            Self::Mkdir(arguments) => change::mkdir(arguments, context, &client).await,
            Self::Chmod(arguments) => change::chmod(arguments, context, &client).await,
            Self::Glob(arguments) => find::glob(arguments, context, &client).await,
            Self::Grep(arguments) => find::grep(arguments, context, &client).await,
        }
    }
}
