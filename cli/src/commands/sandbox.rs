//! `helmr sandbox`.

use clap::Subcommand;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the sandboxes, with their images and limits
    List(page::Arguments),
    /// Show a sandbox
    Get {
        /// The sandbox's id, as the project names it
        sandbox: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        match self {
            Self::List(page) => {
                let answer = client.list_sandboxes(&page.query()).await?;
                page::print(
                    context,
                    &answer,
                    show::sandbox::list,
                    show::sandbox::NOTHING,
                )
            }
            Self::Get { sandbox } => {
                let answer = client.get_sandbox(&sandbox).await?;
                context.output.answer(&answer, |body, style| {
                    show::sandbox::one(&body.sandbox, style)
                })
            }
        }
    }
}
