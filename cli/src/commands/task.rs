//! `helmr task`.

use clap::Subcommand;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the tasks that can be started
    List(page::Arguments),
    /// Show a task, with the schema of its payload
    Get {
        /// The task's id, as the project names it
        task: String,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        match self {
            Self::List(page) => {
                let answer = client.list_tasks(&page.query()).await?;
                page::print(context, &answer, show::task::list, show::task::NOTHING)
            }
            Self::Get { task } => {
                let answer = client.get_task(&task).await?;
                context
                    .output
                    .answer(&answer, |body, style| show::task::one(&body.task, style))
            }
        }
    }
}
