//! `helmr session start`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::sessions::StartSession;
use helmr_api::http::value::{Span, Time};
use helmr_domain::{Duration, ResourceName, WorkspaceId};

use crate::commands::run::wait;
use crate::context::Context;
use crate::error::CommandError;
use crate::input::{Json, duration};
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task's id
    task: ResourceName,

    /// What the task is given: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    payload: Option<Json>,

    /// Your own id: while a session with it is open, that one is used
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,

    /// Work in this workspace (ws_…) instead of a new one
    #[arg(long, value_name = "WORKSPACE")]
    workspace: Option<WorkspaceId>,

    /// How long it may run, in seconds, without its waits: 5 to 86400
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    max_duration: Option<u64>,

    /// How long the run may be queued before it expires, for example 10m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    ttl: Option<Duration>,

    /// Higher goes first in the queue; that of the task's queue unless told
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    priority: Option<i64>,

    /// Count the run apart from those with other keys in its queue
    #[arg(long, value_name = "KEY")]
    concurrency_key: Option<String>,

    /// When the session ends by itself, for example 2026-06-01T18:00:00Z
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Time>,

    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// An object kept with it: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,

    /// Repeating the command with the same key gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// Return when the run has ended; fail unless it succeeded
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = body(&arguments)?;
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.start_session(&body, &key).await?;
    if !arguments.wait {
        return context.output.answer(&answer, show::session::started);
    }
    let run = answer.body.run.id;
    context
        .output
        .note(&format!("Started {run}; waiting for it to end."));
    wait::until_final(context, client, run).await?;
    // What is printed is what the start was answered, as it stands now.
    let session = client.get_session(answer.body.session.id).await?;
    let finished = client.get_run(run).await?;
    if context.output.is_json() {
        context
            .output
            .line(&joined(&session.text, &finished.text)?)?;
    } else {
        let text = show::run::one(&finished.body.run, context.output.style());
        context.output.text(&text)?;
    }
    wait::verdict(&finished.body.run)
}

fn body(arguments: &Arguments) -> Result<StartSession, CommandError> {
    let payload = arguments
        .payload
        .as_ref()
        .map(|json| json.read("--payload"))
        .transpose()?;
    let metadata = match &arguments.metadata {
        Some(json) => json.read_object("--metadata")?,
        None => serde_json::Map::new(),
    };
    Ok(StartSession {
        task: arguments.task.clone(),
        payload,
        external_id: arguments.external_id.clone(),
        workspace_id: arguments.workspace,
        max_duration_seconds: arguments.max_duration,
        ttl: arguments.ttl.map(Span),
        priority: arguments.priority,
        concurrency_key: arguments.concurrency_key.clone(),
        tags: arguments.tags.clone(),
        metadata,
        expires_at: arguments.expires_at,
    })
}

/// `{"session":…}` and `{"run":…}` as one document.
fn joined(session: &str, run: &str) -> Result<String, CommandError> {
    let read =
        |text: &str| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text);
    let both = read(session).and_then(|mut both| {
        both.extend(read(run)?);
        serde_json::to_string(&both)
    });
    both.map_err(|error| CommandError::failed("read the server's answer").because(&error))
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_answers_are_printed_as_one() {
        let text = super::joined("{\"session\":{\"id\":1}}", "{\"run\":{\"id\":2}}");
        assert_eq!(
            text.ok().as_deref(),
            Some("{\"run\":{\"id\":2},\"session\":{\"id\":1}}")
        );
    }
}
