//! `helmr workspace list`.

use clap::ValueEnum;
use helmr_api::client::Client;
use helmr_api::http::workspaces::{ListWorkspaces, WorkspaceState};
use helmr_domain::ResourceName;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    page: page::Arguments,

    /// Only those in this state; all but deleted ones unless told
    #[arg(long, value_enum)]
    state: Option<State>,

    /// Only those of this sandbox
    #[arg(long, value_name = "SANDBOX")]
    sandbox: Option<ResourceName>,

    /// Only the one with this external id
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// Only those with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
}

/// The states of a workspace.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Active,
    Archived,
    #[value(name = "recovery_required")]
    RecoveryRequired,
    Deleted,
}

impl From<State> for WorkspaceState {
    fn from(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Archived => Self::Archived,
            State::RecoveryRequired => Self::RecoveryRequired,
            State::Deleted => Self::Deleted,
        }
    }
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = ListWorkspaces {
        limit: Some(arguments.page.limit),
        cursor: arguments.page.cursor,
        state: arguments.state.map(WorkspaceState::from),
        sandbox: arguments.sandbox.map(|sandbox| sandbox.to_string()),
        external_id: arguments.external_id,
        tag: arguments.tag,
    };
    let answer = client.list_workspaces(&query).await?;
    page::print(
        context,
        &answer,
        show::workspace::list,
        show::workspace::NOTHING,
    )
}
