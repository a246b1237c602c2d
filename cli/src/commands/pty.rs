//! `helmr pty`: handles on terminals in workspaces.

pub(super) mod attach;
pub(super) mod create;
mod escape;
mod keyboard;
mod replay;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Subcommand;
use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::execs::OutputQuery;
use helmr_api::http::ptys::{ResizePty, WriteInput};
use helmr_api::http::runs::Encoding;
use helmr_domain::{PtyId, WorkspaceId};

use crate::commands::exec::piped::{self, Piped};
use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::{progress, show, terminal};

/// Most pieces that the server gives at once.
const PAGE: u32 = 200;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open a terminal in a workspace's machine, and print its id
    Create(create::Arguments),
    /// List the terminals of a workspace, newest first
    List {
        /// The workspace's id (ws_…)
        workspace: WorkspaceId,
        #[command(flatten)]
        page: page::Arguments,
    },
    /// Show a PTY: its size, its state, and how it ended
    Get {
        /// The PTY's id (pty_…)
        pty: PtyId,
    },
    /// Work in a PTY: it shows the newest of what was printed, and everything typed goes there
    Attach {
        /// The PTY's id (pty_…)
        pty: PtyId,
    },
    /// Print what a PTY printed, or follow it until its end
    Output {
        /// The PTY's id (pty_…)
        pty: PtyId,

        /// Go on with what is printed until the PTY has ended
        #[arg(long, short)]
        follow: bool,

        /// Begin at this byte
        #[arg(long, value_name = "BYTE")]
        cursor: Option<String>,
    },
    /// Type standard input in a PTY
    Write {
        /// The PTY's id (pty_…)
        pty: PtyId,
    },
    /// Set a PTY's size; the size that it has makes its programs draw anew
    Resize {
        /// The PTY's id (pty_…)
        pty: PtyId,

        /// Characters in a line
        cols: u16,

        /// Lines
        rows: u16,
    },
    /// Hang a PTY up: its processes get SIGHUP, and 10 s later SIGKILL
    Close {
        /// The PTY's id (pty_…)
        pty: PtyId,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Create(arguments) => {
                let (workspace, body) = arguments.body();
                let key = IdempotencyKey::random();
                let made = client.create_pty(workspace, &body, &key).await?;
                return context
                    .output
                    .answer(&made, |body, _| body.pty.id.to_string());
            }
            Self::List { workspace, page } => {
                let answer = client.list_ptys(workspace, &page.query()).await?;
                return page::print(context, &answer, show::pty::list, show::pty::NOTHING);
            }
            Self::Attach { pty } => {
                terminal::check()?;
                let found = client.get_pty(pty).await?;
                let begin = attach::Begin::Later;
                return attach::run(&found.body.pty, begin, context, &client).await;
            }
            Self::Output {
                pty,
                follow: true,
                cursor,
            } => return follow(pty, cursor, context, &client).await,
            Self::Output {
                pty,
                follow: false,
                cursor,
            } => return output(pty, cursor, context, &client).await,
            Self::Write { pty } => return write(pty, context, &client).await,
            Self::Get { pty } => client.get_pty(pty).await?,
            Self::Resize { pty, cols, rows } => {
                client.resize_pty(pty, &ResizePty { cols, rows }).await?
            }
            Self::Close { pty } => client.close_pty(pty).await?,
        };
        context
            .output
            .answer(&answer, |body, style| show::pty::one(&body.pty, style))
    }
}

async fn output(
    pty: PtyId,
    cursor: Option<String>,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut query = OutputQuery {
        cursor,
        limit: Some(PAGE),
    };
    loop {
        let answer = client.read_pty_output(pty, &query).await?;
        if context.output.is_json() {
            return context.output.line(&answer.text);
        }
        for item in &answer.body.items {
            context.output.bytes(&show::exec::bytes(item)?)?;
        }
        query.cursor = answer.body.next_cursor;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

async fn follow(
    pty: PtyId,
    cursor: Option<String>,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut follow = client.follow_pty(pty, cursor);
    while let Some(item) = progress::next(&mut follow, &context.output).await? {
        if context.output.is_json() {
            context.output.line(&item.text)?;
        } else {
            context.output.bytes(&show::exec::bytes(&item.body)?)?;
        }
    }
    Ok(())
}

async fn write(pty: PtyId, context: &Context, client: &Client) -> Result<(), CommandError> {
    let mut answer = client.get_pty(pty).await?;
    let mut input = piped::read();
    while let Some(Piped::Bytes(bytes)) = input.recv().await {
        let body = WriteInput {
            offset: Some(answer.body.pty.input.end),
            data: STANDARD.encode(&bytes),
            encoding: Encoding::Base64,
        };
        answer = client.write_pty_input(pty, &body).await?;
    }
    context
        .output
        .answer(&answer, |body, style| show::pty::one(&body.pty, style))
}
