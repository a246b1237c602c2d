//! `helmr workspace fork`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::workspaces::ForkWorkspace;
use helmr_domain::{VersionId, WorkspaceId};

use crate::context::Context;
use crate::error::CommandError;
use crate::input::Json;
use crate::progress::Step;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// Copy the machine as it stands: files and memory, with every process in it and its sessions
    #[arg(long, conflicts_with = "version")]
    live: bool,

    /// The version of its files to begin with (wsv_…); the current one unless told
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,

    /// A name of your own for the new one, which no other workspace has
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// An object kept with it: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,

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
    let body = ForkWorkspace {
        version_id: arguments.version,
        live: arguments.live,
        external_id: arguments.external_id,
        metadata,
        tags: arguments.tags,
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let forking = Step::begin(&context.output, "forking");
    let answer = client
        .fork_workspace(arguments.workspace, &body, &key)
        .await?;
    forking.done("forked");
    context.output.answer(&answer, show::workspace::fork)
}
