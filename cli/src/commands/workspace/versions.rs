//! `helmr workspace versions`.

use helmr_api::client::Client;
use helmr_domain::{VersionId, WorkspaceId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// Show this one (wsv_…) instead of the list
    version: Option<VersionId>,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let id = arguments.workspace;
    if let Some(version) = arguments.version {
        let answer = client.get_workspace_version(id, version).await?;
        return context.output.answer(&answer, |body, style| {
            show::workspace::version(&body.version, style)
        });
    }
    let answer = client
        .list_workspace_versions(id, &arguments.page.query())
        .await?;
    page::print(
        context,
        &answer,
        show::workspace::versions,
        show::workspace::NO_VERSIONS,
    )
}
