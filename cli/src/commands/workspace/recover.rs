//! `helmr workspace recover`.

use clap::ValueEnum;
use helmr_api::client::Client;
use helmr_api::http::workspaces::{RecoverFrom, RecoverWorkspace};
use helmr_domain::WorkspaceId;

use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// Go on with these files now; without it, the choices are shown and nothing is changed
    #[arg(long, value_enum)]
    from: Option<From>,
}

/// The files with which a workspace goes on.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum From {
    /// Those of its last version: what was written after it is not in them
    LastVersion,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let id = arguments.workspace;
    match arguments.from {
        Some(From::LastVersion) => {
            let from = RecoverFrom::LastVersion;
            let answer = client
                .recover_workspace(id, &RecoverWorkspace { from })
                .await?;
            context.output.answer(&answer, |body, style| {
                show::workspace::one(&body.workspace, style)
            })
        }
        None => {
            let answer = client.get_workspace(id).await?;
            context.output.answer(&answer, |body, style| {
                show::workspace::choices(&body.workspace, style)
            })
        }
    }
}
