//! The commands, a folder per noun and a file per verb.

mod completions;
mod deploy;
mod deployment;
mod environment;
mod events;
mod exec;
mod image;
mod page;
mod pty;
mod public_token;
mod quota;
mod run;
mod sandbox;
mod session;
mod storage;
mod task;
mod token;
mod whoami;
mod worker;
mod workspace;

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;

/// Commands that are clients of a server.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bundle a task project, upload it and make it the one that starts use
    Deploy(deploy::Arguments),

    /// Deployments: snapshots of a task project
    #[command(subcommand)]
    Deployment(deployment::Command),

    /// Tasks of the promoted deployment
    #[command(subcommand)]
    Task(task::Command),

    /// Sandboxes of the promoted deployment
    #[command(subcommand)]
    Sandbox(sandbox::Command),

    /// Sessions: a task's invocation, its messages and its runs
    #[command(subcommand)]
    Session(session::Command),

    /// Runs: one execution of a session's task
    #[command(subcommand)]
    Run(run::Command),

    /// Workspaces: durable files, and the machine in which they are worked on
    #[command(subcommand)]
    Workspace(workspace::Command),

    /// Execs: commands that run in workspaces
    #[command(subcommand)]
    Exec(exec::Command),

    /// PTYs: terminals in workspaces
    #[command(subcommand)]
    Pty(pty::Command),

    /// Tokens: values that somebody outside completes, once
    #[command(subcommand)]
    Token(token::Command),

    /// Public access tokens: a browser's right to one token or one stream
    #[command(subcommand)]
    PublicToken(public_token::Command),

    /// Base images of sandboxes
    #[command(subcommand)]
    Image(image::Command),

    /// Quotas: what the environment may hold
    #[command(subcommand)]
    Quota(quota::Command),
    /// Environments: which versions of their workspaces they keep
    #[command(subcommand, name = "env")]
    Environment(environment::Command),

    /// The artifact store: what it takes, and its garbage collection
    #[command(subcommand)]
    Storage(storage::Command),

    /// Workers: where machines run
    #[command(subcommand)]
    Worker(worker::Command),

    /// Show which server, scope and key are used
    Whoami,

    /// Print a script that completes commands in your shell
    Completions(completions::Arguments),
}

impl Command {
    /// Carries the command out. `tree` is the whole command line, for completions.
    ///
    /// # Errors
    /// What to tell the user, with the exit code.
    pub async fn run(self, context: &Context, tree: clap::Command) -> Result<(), CommandError> {
        match self {
            Self::Deploy(arguments) => deploy::run(arguments, context).await,
            Self::Deployment(command) => command.run(context).await,
            Self::Task(command) => command.run(context).await,
            Self::Sandbox(command) => command.run(context).await,
            Self::Session(command) => command.run(context).await,
            Self::Run(command) => command.run(context).await,
            Self::Exec(command) => command.run(context).await,
            Self::Pty(command) => command.run(context).await,
            Self::Workspace(command) => command.run(context).await,
            Self::Token(command) => command.run(context).await,
            Self::PublicToken(command) => command.run(context).await,
            Self::Image(command) => command.run(context).await,
            Self::Quota(command) => command.run(context).await,
            Self::Environment(command) => command.run(context).await,
            Self::Storage(command) => command.run(context).await,
            Self::Worker(command) => command.run(context).await,
            Self::Whoami => whoami::run(context).await,
            Self::Completions(arguments) => completions::run(&arguments, context, &tree),
        }
    }
}
