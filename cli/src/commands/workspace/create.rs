//! `helmr workspace create`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::value::Span;
use helmr_api::http::workspaces::CreateWorkspace;
use helmr_domain::{Duration, ResourceName};

use crate::context::Context;
use crate::error::CommandError;
use crate::input::{Json, duration};
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A sandbox of the promoted deployment; that of tasks which name none unless told
    #[arg(long, value_name = "SANDBOX")]
    sandbox: Option<ResourceName>,

    /// A name of your own, which no other workspace has
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// An object kept with it: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,

    /// How long its machine stays when nothing runs in it, for example 30m; 5m unless told
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    auto_stop_after: Option<Duration>,

    /// Repeating the command with the same key gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let metadata = match &arguments.metadata {
        Some(json) => json.read_object("--metadata")?,
        None => serde_json::Map::new(),
    };
    let body = CreateWorkspace {
        sandbox: arguments.sandbox.map(|sandbox| sandbox.to_string()),
        external_id: arguments.external_id,
        metadata,
        tags: arguments.tags,
        auto_stop_after: arguments.auto_stop_after.map(Span),
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.create_workspace(&body, &key).await?;
    context.output.answer(&answer, |body, style| {
        show::workspace::one(&body.workspace, style)
    })
}
