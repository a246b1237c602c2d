//! Files listed, shown and printed.

use std::ffi::OsString;

use helmr_api::client::Client;
use helmr_api::http::files::{ListFiles, ReadFile, StatFile};
use helmr_domain::{VersionId, WorkspaceId};

use super::path::inside;
use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Ls {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The directory; otherwise the workspace's root
    path: Option<OsString>,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn ls(
    arguments: Ls,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = ListFiles {
        path: arguments.path.as_deref().map(inside),
        version: arguments.version,
        limit: arguments.page.query().limit,
        cursor: arguments.page.query().cursor,
    };
    let answer = client.list_files(arguments.workspace, &query).await?;
    page::print(context, &answer, show::file::names, show::file::EMPTY)
}

#[derive(Debug, clap::Args)]
pub struct Stat {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The file, directory or link
    path: OsString,

    /// What a link leads to instead of the link
    #[arg(long)]
    follow: bool,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,
}

pub(super) async fn stat(
    arguments: Stat,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = StatFile {
        path: Some(inside(&arguments.path)),
        version: arguments.version,
        follow: arguments.follow.then_some(true),
    };
    let answer = client.stat_file(arguments.workspace, &query).await?;
    context
        .output
        .answer(&answer, |body, style| show::file::one(&body.file, style))
}

#[derive(Debug, clap::Args)]
pub struct Cat {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// The file
    path: OsString,

    /// Only these bytes: FIRST-LAST, FIRST- or -COUNT for the last ones
    #[arg(long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<String>,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,
}

pub(super) async fn cat(
    arguments: Cat,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = ReadFile {
        path: inside(&arguments.path),
        version: arguments.version,
    };
    let range = arguments.range.map(|range| format!("bytes={range}"));
    let mut bytes = client
        .read_file(arguments.workspace, &query, range.as_deref())
        .await?;
    while let Some(piece) = bytes.next().await? {
        context.output.bytes(&piece)?;
    }
    Ok(())
}
