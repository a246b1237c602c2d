//! `helmr session list`.

use clap::ValueEnum;
use helmr_api::client::Client;
use helmr_api::http::sessions::{ListSessions, SessionStatus};
use helmr_domain::{ResourceName, WorkspaceId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    page: page::Arguments,

    /// Only those in this status
    #[arg(long, value_enum)]
    status: Option<Status>,

    /// Only those of this task
    #[arg(long, value_name = "TASK")]
    task: Option<ResourceName>,

    /// Only those with this external id
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// Only those with this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,

    /// Only those in this workspace (ws_…)
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<WorkspaceId>,
}

/// The statuses of a session.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Open,
    Closed,
    Cancelled,
    Expired,
}

impl From<Status> for SessionStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Open => Self::Open,
            Status::Closed => Self::Closed,
            Status::Cancelled => Self::Cancelled,
            Status::Expired => Self::Expired,
        }
    }
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = ListSessions {
        limit: Some(arguments.page.limit),
        cursor: arguments.page.cursor,
        status: arguments.status.map(SessionStatus::from),
        task: arguments.task.map(|task| task.to_string()),
        external_id: arguments.external_id,
        tag: arguments.tag,
        workspace_id: arguments.workspace.map(|workspace| workspace.to_string()),
    };
    let answer = client.list_sessions(&query).await?;
    page::print(
        context,
        &answer,
        show::session::list,
        show::session::NOTHING,
    )
}
