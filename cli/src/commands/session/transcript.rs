//! `helmr session transcript`.

use clap::ValueEnum;
use helmr_api::client::Client;
use helmr_api::http::streams::{Direction, ListTranscript};
use helmr_domain::{SessionId, StreamName};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::progress;
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The session's id (ses_…)
    session: SessionId,

    /// Go on with what comes until the session has ended
    #[arg(long, short)]
    follow: bool,

    /// Only input, or only output
    #[arg(long, value_enum)]
    direction: Option<Way>,

    /// Only records of streams of this name
    #[arg(long, value_name = "STREAM")]
    stream: Option<StreamName>,

    /// Only records with this correlation id
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,

    #[command(flatten)]
    page: page::Arguments,
}

/// Seen from the task.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    Input,
    Output,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let query = ListTranscript {
        limit: Some(arguments.page.limit),
        cursor: arguments.page.cursor,
        direction: arguments.direction.map(|way| match way {
            Way::Input => Direction::Input,
            Way::Output => Direction::Output,
        }),
        stream: arguments.stream.map(|stream| stream.to_string()),
        correlation_id: arguments.correlation_id,
    };
    let session = arguments.session;
    if !arguments.follow {
        let answer = client.list_transcript(session, &query).await?;
        return page::print(
            context,
            &answer,
            show::stream::transcript,
            show::stream::NOTHING,
        );
    }
    // A session that is not there is told at once.
    client.get_session(session).await?;
    let mut follow = client.follow_transcript(session, &query);
    let output = context.output;
    while let Some(record) = progress::next(&mut follow, &output).await? {
        output.answer(&record, show::stream::said)?;
    }
    Ok(())
}
