//! `helmr workspace update`.

use clap::ArgGroup;
use helmr_api::client::Client;
use helmr_api::http::value::Span;
use helmr_api::http::workspaces::UpdateWorkspace;
use helmr_domain::{Duration, WorkspaceId};

use crate::context::Context;
use crate::error::CommandError;
use crate::input::{Json, duration};
use crate::show;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "external_id", "no_external_id", "tags", "no_tags", "metadata", "auto_stop_after", "usual_auto_stop",
]))]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// A name of your own, which no other workspace has
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// Take its external id away
    #[arg(long, conflicts_with = "external_id")]
    no_external_id: bool,

    /// A word to find it by; may be repeated. Those that are not named are taken away
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Take all its tags away
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,

    /// An object kept with it, in place of what is kept: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,

    /// How long its machine stays when nothing runs in it, for example 30m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    auto_stop_after: Option<Duration>,

    /// Have its machine stay as long as is usual: 5m
    #[arg(long, conflicts_with = "auto_stop_after")]
    usual_auto_stop: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let named = !arguments.tags.is_empty() || arguments.no_tags;
    let metadata = arguments.metadata.as_ref();
    let body = UpdateWorkspace {
        external_id: change(arguments.external_id, arguments.no_external_id),
        metadata: metadata
            .map(|json| json.read_object("--metadata"))
            .transpose()?,
        tags: named.then_some(arguments.tags),
        auto_stop_after: change(
            arguments.auto_stop_after.map(Span),
            arguments.usual_auto_stop,
        ),
    };
    let answer = client.update_workspace(arguments.workspace, &body).await?;
    context.output.answer(&answer, |body, style| {
        show::workspace::one(&body.workspace, style)
    })
}

/// A value to set, or to take away.
fn change<T>(value: Option<T>, away: bool) -> Option<Option<T>> {
    match value {
        Some(value) => Some(Some(value)),
        None => away.then_some(None),
    }
}
