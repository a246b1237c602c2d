//! `helmr workspace`.

mod create;
mod exec;
mod list;
mod recover;
mod update;
mod versions;

use clap::Subcommand;
use helmr_api::http::workspaces::{DeleteWorkspace, StopWorkspace};
use helmr_domain::WorkspaceId;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a workspace, for sessions to be started in
    Create(create::Arguments),
    /// List the workspaces, newest first
    List(list::Arguments),
    /// Show a workspace, with its machine
    Get {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
    },
    /// Change a workspace's external id, tags or metadata, or how long its machine stays
    Update(update::Arguments),
    /// Delete a workspace: its open sessions are cancelled, its machine ends
    Delete {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Cancel the runs in it first
        #[arg(long)]
        force: bool,
    },
    /// Stop a workspace's machine: its files are captured, its processes end
    Stop {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Cancel the runs in it first
        #[arg(long)]
        force: bool,
    },
    /// Run a command in a workspace's machine: its input, output and exit code are this command's
    Exec(exec::Arguments),
    /// List the commands that were run in a workspace, newest first
    Ps {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        #[command(flatten)]
        page: page::Arguments,
    },
    /// Show how a workspace can go on whose worker is lost, or choose
    Recover(recover::Arguments),
    /// List the versions of a workspace's files, newest first, or show one
    Versions(versions::Arguments),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Create(arguments) => return create::run(arguments, context, &client).await,
            Self::List(arguments) => return list::run(arguments, context, &client).await,
            Self::Update(arguments) => return update::run(arguments, context, &client).await,
            Self::Recover(arguments) => return recover::run(arguments, context, &client).await,
            Self::Versions(arguments) => return versions::run(arguments, context, &client).await,
            Self::Exec(arguments) => return exec::run(arguments, context, &client).await,
            Self::Ps { workspace, page } => {
                let answer = client.list_execs(workspace, &page.query()).await?;
                return page::print(context, &answer, show::exec::list, show::exec::NOTHING);
            }
            Self::Get { workspace } => client.get_workspace(workspace).await?,
            Self::Delete { workspace, force } => {
                let force = force.then_some(true);
                client
                    .delete_workspace(workspace, &DeleteWorkspace { force })
                    .await?
            }
            Self::Stop { workspace, force } => {
                client
                    .stop_workspace(workspace, &StopWorkspace { force })
                    .await?
            }
        };
        context.output.answer(&answer, |body, style| {
            show::workspace::one(&body.workspace, style)
        })
    }
}
