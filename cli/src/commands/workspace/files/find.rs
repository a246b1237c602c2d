//! Files found by their paths and by what is in them.

use std::ffi::OsString;

use helmr_api::client::Client;
use helmr_api::http::files::{GlobFiles, SearchFiles};
use helmr_domain::{VersionId, WorkspaceId};

use super::path::inside;
use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Glob {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// `*`, `?`, `[…]` and `{a,b}` within names, `**` for any directories
    pattern: OsString,

    /// Where the pattern begins; otherwise the workspace's root
    #[arg(long, value_name = "PATH")]
    path: Option<OsString>,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn glob(
    arguments: Glob,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = GlobFiles {
        pattern: inside(&arguments.pattern),
        path: arguments.path.as_deref().map(inside),
        version: arguments.version,
        limit: arguments.page.query().limit,
        cursor: arguments.page.query().cursor,
    };
    let answer = client.glob_files(arguments.workspace, &query).await?;
    page::print(context, &answer, show::file::paths, show::file::NO_MATCH)
}

#[derive(Debug, clap::Args)]
pub struct Grep {
    /// The workspace's id (ws_…)
    workspace: WorkspaceId,

    /// What to look for
    query: String,

    /// A directory or a file; otherwise everywhere
    path: Option<OsString>,

    /// The query is a regular expression
    #[arg(long, short = 'E')]
    regex: bool,

    /// Upper and lower case are alike
    #[arg(long, short)]
    ignore_case: bool,

    /// Only in files whose paths match
    #[arg(long, value_name = "PATTERN")]
    glob: Option<OsString>,

    /// Of this version (wsv_…) instead of now
    #[arg(long, value_name = "VERSION")]
    version: Option<VersionId>,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn grep(
    arguments: Grep,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = SearchFiles {
        query: arguments.query,
        regex: arguments.regex.then_some(true),
        ignore_case: arguments.ignore_case.then_some(true),
        glob: arguments.glob.as_deref().map(inside),
        path: arguments.path.as_deref().map(inside),
        version: arguments.version,
        limit: arguments.page.query().limit,
        cursor: arguments.page.query().cursor,
    };
    let answer = client.search_files(arguments.workspace, &query).await?;
    page::print(context, &answer, show::file::matches, show::file::NO_MATCH)
}
