//! `helmr run wait`: the events say when, nothing is asked twice a second.

use helmr_api::client::Client;
use helmr_api::http::runs::{Run, RunStatus};
use helmr_domain::{Duration, RunId};

use crate::context::Context;
use crate::error::{CommandError, Exit};
use crate::input::duration;
use crate::progress;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run's id (run_…)
    run: RunId,

    /// Give up after this time, for example 10m, with exit code 124
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let run = arguments.run;
    let waited = until_final(context, client, run);
    if let Some(timeout) = arguments.timeout {
        let limit = std::time::Duration::from_micros(timeout.as_micros().unsigned_abs());
        match tokio::time::timeout(limit, waited).await {
            Ok(done) => done?,
            Err(_) => return Err(still_going(client, run, timeout).await),
        }
    } else {
        waited.await?;
    }
    conclude(context, client, run).await
}

/// Prints a run that has ended, and fails unless it succeeded.
pub(super) async fn conclude(
    context: &Context,
    client: &Client,
    run: RunId,
) -> Result<(), CommandError> {
    let answer = client.get_run(run).await?;
    context
        .output
        .answer(&answer, |body, style| show::run::one(&body.run, style))?;
    verdict(&answer.body.run)
}

/// Returns once nothing changes the run any more. Outlives restarts of the server.
pub(crate) async fn until_final(
    context: &Context,
    client: &Client,
    run: RunId,
) -> Result<(), CommandError> {
    if client.get_run(run).await?.body.run.status.is_final() {
        return Ok(());
    }
    let mut follow = client.follow_run_events(run, None);
    while let Some(event) = progress::next(&mut follow, &context.output).await? {
        if show::event::ends_a_run(&event.body.kind) {
            break;
        }
    }
    Ok(())
}

/// An error unless the run succeeded.
pub(crate) fn verdict(run: &Run) -> Result<(), CommandError> {
    let what = match run.status {
        RunStatus::Succeeded => return Ok(()),
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "was cancelled",
        RunStatus::Expired => "expired before a worker took it",
        RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => "has not ended",
    };
    let mut message = format!("the run {what}");
    if let Some(error) = &run.error {
        message.push_str(&format!(": {}: {}", error.kind, error.message));
    }
    Err(CommandError::failed(message)
        .hint(format!("`helmr run logs {}` shows what it printed", run.id)))
}

async fn still_going(client: &Client, run: RunId, timeout: Duration) -> CommandError {
    let mut message = format!("the run has not ended within {timeout}");
    if let Ok(answer) = client.get_run(run).await {
        message.push_str(&format!(
            ": it is {}",
            show::run::condition(&answer.body.run)
        ));
    }
    CommandError::new(Exit::TimedOut, message)
        .hint(format!("it goes on; `helmr run wait {run}` waits again"))
}
