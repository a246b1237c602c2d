//! `helmr workspace diff`.

use helmr_api::client::Client;
use helmr_api::http::versions::{DiffQuery, DiffTextQuery};
use helmr_domain::{VersionId, WorkspaceId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The version to compare with (wsv_…): the current one unless told
    from: Option<VersionId>,

    /// The other version (wsv_…): the files as they are now unless told
    to: Option<VersionId>,

    /// Print what differs line by line, as `git diff` does
    #[arg(long, short, conflicts_with_all = ["limit", "cursor"])]
    patch: bool,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let (id, from, to) = (arguments.workspace, arguments.from, arguments.to);
    if arguments.patch {
        let query = DiffTextQuery { from, to };
        let mut text = client.diff_workspace_text(id, &query).await?;
        while let Some(piece) = text.next().await? {
            context.output.bytes(&piece)?;
        }
        return Ok(());
    }
    let page = arguments.page.query();
    let query = DiffQuery {
        from,
        to,
        limit: page.limit,
        cursor: page.cursor,
    };
    let answer = client.diff_workspace(id, &query).await?;
    page::print(context, &answer, show::diff::list, show::diff::NOTHING)
}
