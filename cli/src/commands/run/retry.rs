//! `helmr run retry`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_domain::RunId;

use super::wait;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run's id (run_…)
    run: RunId,

    /// Repeating the command with the same key gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Return when the new run has ended; fail unless it succeeded
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.retry_run(arguments.run, &key).await?;
    if !arguments.wait {
        return context
            .output
            .answer(&answer, |body, style| show::run::one(&body.run, style));
    }
    let run = answer.body.run.id;
    context
        .output
        .note(&format!("Started {run}; waiting for it to end."));
    wait::until_final(context, client, run).await?;
    wait::conclude(context, client, run).await
}
