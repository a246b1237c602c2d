//! `helmr token create`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::tokens::CreateToken;
use helmr_api::http::value::Span;
use helmr_domain::Duration;

use crate::context::Context;
use crate::error::CommandError;
use crate::input::{Json, duration};
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long it can be completed, for example 1h30m; 7 days unless told
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// A word to find it by; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// An object kept with it: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,

    /// An origin from which browsers may use its access token, for example https://app.example.com; may be repeated. Any
    /// unless told
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
    let metadata = match &arguments.metadata {
        Some(json) => json.read_object("--metadata")?,
        None => serde_json::Map::new(),
    };
    let body = CreateToken {
        timeout: arguments.timeout.map(Span),
        tags: arguments.tags,
        metadata,
        allowed_origins: arguments.allowed_origins,
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.create_token(&body, &key).await?;
    context.output.answer(&answer, |body, style| {
        show::token::created(&body.token, style)
    })?;
    if answer.body.token.callback_url.is_some() {
        context
            .output
            .note("The access token and the callback URL are shown this once.");
    }
    Ok(())
}
