//! `helmr worker`.

use clap::Subcommand;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the workers, with what they can do and what is free
    List(page::Arguments),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(page) => {
                let answer = context.client()?.list_workers(&page.query()).await?;
                page::print(context, &answer, show::worker::list, show::worker::NOTHING)
            }
        }
    }
}
