//! `helmr session follow`.

use helmr_api::client::Client;
use helmr_api::http::streams::{Direction, ListRecords};
use helmr_domain::{SessionId, StreamName};

use crate::context::Context;
use crate::error::CommandError;
use crate::progress;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The session's id (ses_…)
    session: SessionId,

    /// The stream's name
    stream: StreamName,

    /// Follow the input stream of this name, not the output stream
    #[arg(long)]
    input: bool,

    /// Only records with this correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    /// Begin after this sequence number
    #[arg(long, value_name = "N")]
    cursor: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let session = arguments.session;
    // A session that is not there is told at once.
    client.get_session(session).await?;
    let direction = if arguments.input {
        Direction::Input
    } else {
        Direction::Output
    };
    let query = ListRecords {
        limit: None,
        cursor: arguments.cursor,
        correlation_id: arguments.correlation_id,
    };
    let mut follow = client.follow_records(session, direction, arguments.stream.as_str(), &query);
    let output = context.output;
    while let Some(record) = progress::next(&mut follow, &output).await? {
        output.answer(&record, show::stream::one)?;
    }
    Ok(())
}
