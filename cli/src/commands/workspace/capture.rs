//! `helmr workspace capture` and `helmr workspace restore`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::versions::{CaptureVersion, RestoreWorkspace};
use helmr_domain::{VersionId, WorkspaceId};

use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Capture {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// What to say of the version
    #[arg(long, short)]
    message: Option<String>,

    /// Make the request safe to repeat: the same key gives the same version
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The version to go back to (wsv_…)
    version: VersionId,

    /// What to say of the version that this makes
    #[arg(long, short)]
    message: Option<String>,

    /// Cancel the runs in it first
    #[arg(long)]
    force: bool,
}

pub(super) async fn capture(
    arguments: Capture,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = CaptureVersion {
        message: arguments.message,
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client
        .capture_workspace(arguments.workspace, &body, &key)
        .await?;
    context.output.answer(&answer, |body, style| {
        show::workspace::version(&body.version, style)
    })
}

pub(super) async fn restore(
    arguments: Restore,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = RestoreWorkspace {
        version_id: arguments.version,
        message: arguments.message,
        force: arguments.force,
    };
    let key = IdempotencyKey::random();
    let answer = client
        .restore_workspace(arguments.workspace, &body, &key)
        .await?;
    context.output.answer(&answer, |body, style| {
        show::workspace::version(&body.version, style)
    })
}
