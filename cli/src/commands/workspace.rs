//! `helmr workspace`.

mod archive;
mod capture;
mod create;
mod diff;
pub(super) mod exec;
mod files;
mod fork;
mod list;
mod recover;
mod shell;
mod update;
mod versions;

use clap::Subcommand;
use helmr_api::http::value::Span;
use helmr_api::http::workspaces::{
    ArchiveWorkspace, ConnectWorkspace, DeleteWorkspace, StopWorkspace,
};
use helmr_domain::{Duration, WorkspaceId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::input::duration;
use crate::progress::Step;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a workspace, for sessions to be started in
    Create(create::Arguments),
    /// List the workspaces, newest first
    List(list::Arguments),
    /// Show a workspace, with its machine
    Get {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
    },
    /// Change a workspace's external id, tags or metadata, or how long its machine stays
    Update(update::Arguments),
    /// Delete a workspace: its open sessions are cancelled, its machine ends
    Delete {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Cancel the runs in it first
        #[arg(long)]
        force: bool,
    },
    /// Stop a workspace's machine: its files are captured, its processes end
    Stop {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Cancel the runs in it first
        #[arg(long)]
        force: bool,
    },
    /// Ask for a workspace's machine: it is started or woken, and stays for a while. Does not wait
    Materialize {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
    },
    /// Wait until a workspace's machine is live, and show how it is reached
    Connect {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Give up after this time: 60s unless told, at most 10m
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        timeout: Option<Duration>,
    },
    /// Make a workspace that begins as a copy of another: of its files or, live, of its machine as it stands
    Fork(fork::Arguments),
    /// Archive a workspace: its machine ends, and nothing runs in it until it is unarchived
    Archive {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        /// Cancel the runs in it first
        #[arg(long)]
        force: bool,
    },
    /// Have an archived workspace be used again
    Unarchive {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
    },
    /// Run a command in a workspace's machine: its input, output and exit code are this command's
    Exec(exec::Arguments),
    /// Open a terminal in a workspace's machine, with a shell, and work in it
    Shell(shell::Arguments),
    /// Work on a workspace's files: its machine may live, be parked or stopped
    #[command(subcommand)]
    Files(files::Command),
    /// List the commands that were run in a workspace, newest first
    Ps {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        #[command(flatten)]
        page: page::Arguments,
    },
    /// Show how a workspace can go on whose worker is lost, or choose
    Recover(recover::Arguments),
    /// List the versions of a workspace's files, newest first, or show one
    Versions(versions::Arguments),
    /// Make a version of a workspace's files as they are now
    Capture(capture::Capture),
    /// Go back to an earlier version: its files are those of a new version, and the machine stops
    Restore(capture::Restore),
    /// List what differs between two versions, or a version and the files as they are now
    Diff(diff::Arguments),
    /// Write a version's files as a tar archive
    Export(archive::Export),
    /// Make a tar archive the files of a workspace that has no machine, as a new version
    Import(archive::Import),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Create(arguments) => return create::run(arguments, context, &client).await,
            Self::List(arguments) => return list::run(arguments, context, &client).await,
            Self::Update(arguments) => return update::run(arguments, context, &client).await,
            Self::Fork(arguments) => return fork::run(arguments, context, &client).await,
            Self::Recover(arguments) => return recover::run(arguments, context, &client).await,
            Self::Versions(arguments) => return versions::run(arguments, context, &client).await,
            Self::Capture(arguments) => return capture::capture(arguments, context, &client).await,
            Self::Restore(arguments) => return capture::restore(arguments, context, &client).await,
            Self::Diff(arguments) => return diff::run(arguments, context, &client).await,
            Self::Export(arguments) => return archive::export(arguments, context, &client).await,
            Self::Import(arguments) => return archive::import(arguments, context, &client).await,
            Self::Files(command) => return Box::pin(command.run(context)).await,
            Self::Exec(arguments) => return exec::run(arguments, context, &client).await,
            Self::Shell(arguments) => return shell::run(arguments, context, &client).await,
            Self::Ps { workspace, page } => {
                let answer = client.list_execs(workspace, &page.query()).await?;
                return page::print(context, &answer, show::exec::list, show::exec::NOTHING);
            }
            Self::Connect { workspace, timeout } => {
                let timeout = timeout.map(Span);
                let waiting = Step::begin(&context.output, "waiting for the machine");
                let connected = client
                    .connect_workspace(workspace, &ConnectWorkspace { timeout })
                    .await?;
                waiting.done("the machine is live");
                return context.output.answer(&connected, |body, style| {
                    show::workspace::connection(&body.connection, style)
                });
            }
            Self::Materialize { workspace } => client.materialize_workspace(workspace).await?,
            Self::Archive { workspace, force } => {
                client
                    .archive_workspace(workspace, &ArchiveWorkspace { force })
                    .await?
            }
            Self::Unarchive { workspace } => client.unarchive_workspace(workspace).await?,
            Self::Get { workspace } => client.get_workspace(workspace).await?,
            Self::Delete { workspace, force } => {
                let force = force.then_some(true);
                client
                    .delete_workspace(workspace, &DeleteWorkspace { force })
                    .await?
            }
            Self::Stop { workspace, force } => {
                client
                    .stop_workspace(workspace, &StopWorkspace { force })
                    .await?
            }
        };
        context.output.answer(&answer, |body, style| {
            show::workspace::one(&body.workspace, style)
        })
    }
}
