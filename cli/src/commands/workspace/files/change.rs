//! Files removed, moved and given another mode, and directories made.

use std::ffi::OsString;

use helmr_api::client::Client;
use helmr_api::http::files::{ChangeMode, MakeDirectory, Mode, MoveFile, RemoveFile};
use helmr_domain::WorkspaceId;

use super::path::{Condition, inside};
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Rm {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The file, link or directory
    path: OsString,

    /// A directory with everything in it
    #[arg(long, short)]
    recursive: bool,

    #[command(flatten)]
    condition: Condition,
}

pub(super) async fn rm(arguments: Rm, client: &Client) -> Result<(), CommandError> {
    let query = RemoveFile {
        path: inside(&arguments.path),
        recursive: arguments.recursive.then_some(true),
    };
    client
        .remove_file(arguments.workspace, &query, &arguments.condition.read())
        .await?;
    Ok(())
}

#[derive(Debug, clap::Args)]
pub struct Mv {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// What to move
    from: OsString,

    /// Its new path
    to: OsString,

    /// Replace what is there
    #[arg(long)]
    overwrite: bool,
}

pub(super) async fn mv(
    arguments: Mv,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = MoveFile {
        from: inside(&arguments.from),
        to: inside(&arguments.to),
        overwrite: arguments.overwrite,
    };
    let answer = client.move_file(arguments.workspace, &body).await?;
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}

#[derive(Debug, clap::Args)]
pub struct Mkdir {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The directory
    path: OsString,

    /// Make those on the way too, and take one that exists for made
    #[arg(long, short)]
    parents: bool,

    /// Its mode in octal; otherwise 0755
    #[arg(long, value_name = "MODE")]
    mode: Option<Mode>,
}

pub(super) async fn mkdir(
    arguments: Mkdir,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = MakeDirectory {
        path: inside(&arguments.path),
        mode: arguments.mode,
        parents: arguments.parents,
    };
    let answer = client.make_directory(arguments.workspace, &body).await?;
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}

#[derive(Debug, clap::Args)]
pub struct Chmod {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// In octal, like 0755
    mode: Mode,

    /// The file or directory
    path: OsString,

    #[command(flatten)]
    condition: Condition,
}

pub(super) async fn chmod(
    arguments: Chmod,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = ChangeMode {
        path: inside(&arguments.path),
        mode: arguments.mode,
    };
    let condition = arguments.condition.read();
    let answer = client
        .change_mode(arguments.workspace, &body, &condition)
        .await?;
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}
