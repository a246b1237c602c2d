//! `helmr public-token create`.

use clap::ArgGroup;
use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::public_tokens::{Capability, CreatePublicToken};
use helmr_api::http::streams::Direction;
use helmr_api::http::value::Span;
use helmr_domain::{Duration, SessionId, StreamName, TokenId};

use crate::context::Context;
use crate::error::CommandError;
use crate::input::duration;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("subject").required(true).args(["token", "input", "output"]))]
pub struct Arguments {
    /// It completes this token (tok_…)
    #[arg(long, value_name = "TOKEN")]
    token: Option<TokenId>,

    /// The session of the stream (ses_…)
    #[arg(long, value_name = "SESSION", conflicts_with = "token")]
    session: Option<SessionId>,

    /// It sends to this input stream of the session
    #[arg(long, value_name = "STREAM", requires = "session")]
    input: Option<StreamName>,

    /// It reads this output stream of the session
    #[arg(long, value_name = "STREAM", requires = "session")]
    output: Option<StreamName>,

    /// Only for records with this correlation id
    #[arg(long, value_name = "ID", requires = "session")]
    correlation_id: Option<String>,

    /// How long it is valid, for example 1h30m; 24 hours unless told
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    expires_in: Option<Duration>,

    /// How many completions or records it may bring; any number unless told
    #[arg(long, value_name = "N", conflicts_with = "output", value_parser = clap::value_parser!(u32).range(1..))]
    max_uses: Option<u32>,

    /// An origin from which browsers may use it, for example https://app.example.com; may be repeated. Any unless told
    #[arg(long = "allow-origin", value_name = "ORIGIN")]
    allowed_origins: Vec<String>,

    /// Repeating the command with the same key gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = CreatePublicToken {
        capability: capability(&arguments)?,
        expires_in: arguments.expires_in.map(Span),
        max_uses: arguments.max_uses,
        allowed_origins: arguments.allowed_origins,
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.create_public_token(&body, &key).await?;
    context
        .output
        .answer(&answer, show::public_token::created)?;
    if answer.body.secret.is_some() {
        context.output.note("The access token is shown this once.");
    }
    Ok(())
}

fn capability(arguments: &Arguments) -> Result<Capability, CommandError> {
    let stream = |session_id, stream: &StreamName, direction| Capability::Stream {
        session_id,
        stream: stream.to_string(),
        direction,
        correlation_id: arguments.correlation_id.clone(),
    };
    match (
        arguments.token,
        arguments.session,
        &arguments.input,
        &arguments.output,
    ) {
        (Some(token_id), None, None, None) => Ok(Capability::Token { token_id }),
        (None, Some(session), Some(name), None) => Ok(stream(session, name, Direction::Input)),
        (None, Some(session), None, Some(name)) => Ok(stream(session, name, Direction::Output)),
        _ => Err(CommandError::usage(
            "name what it is for: --token, or --session with --input or --output",
        )),
    }
}
