//! `helmr session send`.

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::streams::SendInput;
use helmr_domain::{SessionId, StreamName};

use crate::context::Context;
use crate::error::CommandError;
use crate::input::Json;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The session's id (ses_…)
    session: SessionId,

    /// The input stream's name
    stream: StreamName,

    /// The record: JSON, @FILE, or - for standard input
    #[arg(value_name = "JSON|@FILE|-")]
    data: Json,

    /// Addresses the record to those who wait with this id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// The same key again sends nothing more to this stream
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let body = SendInput {
        data: arguments.data.read("the record")?,
        correlation_id: arguments.correlation_id,
        // It belongs to the stream: the header's would hold for the environment.
        idempotency_key: arguments.idempotency_key,
    };
    // A request that is sent again for want of an answer is the same request.
    let key = IdempotencyKey::random();
    let stream = arguments.stream.as_str();
    let answer = client
        .send_input(arguments.session, stream, &body, &key)
        .await?;
    context.output.answer(&answer, show::stream::sent)
}
