//! `helmr session read`.

use helmr_api::client::Client;
use helmr_api::http::streams::{Direction, ListRecords};
use helmr_domain::{SessionId, StreamName};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The session's id (ses_…)
    session: SessionId,

    /// The stream's name
    stream: StreamName,

    /// Read the input stream of this name, not the output stream
    #[arg(long)]
    input: bool,

    /// Only records with this correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    #[command(flatten)]
    page: page::Arguments,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let direction = if arguments.input {
        Direction::Input
    } else {
        Direction::Output
    };
    let query = ListRecords {
        limit: Some(arguments.page.limit),
        cursor: arguments.page.cursor,
        correlation_id: arguments.correlation_id,
    };
    let answer = client
        .list_records(
            arguments.session,
            direction,
            arguments.stream.as_str(),
            &query,
        )
        .await?;
    page::print(
        context,
        &answer,
        show::stream::records,
        show::stream::NOTHING,
    )
}
