//! `helmr workspace shell`: a terminal in a workspace's machine, as if one sat before it.

use helmr_api::client::{Client, IdempotencyKey};

use crate::commands::pty::attach::{self, Begin};
use crate::commands::pty::create;
use crate::context::Context;
use crate::error::CommandError;
use crate::terminal;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pty: create::Arguments,

    /// Leave it alone: print its id and return. `helmr pty attach` works in it
    #[arg(long)]
    detach: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    if !arguments.detach {
        terminal::check()?;
    }
    let (workspace, body) = arguments.pty.body();
    let made = client
        .create_pty(workspace, &body, &IdempotencyKey::random())
        .await?;
    if arguments.detach {
        return context
            .output
            .answer(&made, |body, _| body.pty.id.to_string());
    }
    attach::run(&made.body.pty, Begin::Fresh, context, client).await
}
