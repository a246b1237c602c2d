//! `helmr run logs`.

use clap::ValueEnum;
use helmr_api::client::Client;
use helmr_api::http::runs::{LogItem, LogQuery, LogStream};
use helmr_domain::RunId;

use crate::context::Context;
use crate::error::CommandError;
use crate::progress;
use crate::show;

/// Most items that the server gives at once.
const PAGE: u32 = 200;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run's id (run_…)
    run: RunId,

    /// Go on with what is printed until the run has ended
    #[arg(long, short)]
    follow: bool,

    /// Only this stream
    #[arg(long, value_enum)]
    stream: Option<Stream>,

    /// Begin after this item
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,

    /// Begin at this byte of the stream
    #[arg(long, value_name = "BYTES", requires = "stream", conflicts_with_all = ["cursor", "follow"])]
    offset: Option<u64>,
}

/// What a run prints to.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stream {
    Stdout,
    Stderr,
    /// `logger.info` and its like
    Logger,
}

impl From<Stream> for LogStream {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Stdout => Self::Stdout,
            Stream::Stderr => Self::Stderr,
            Stream::Logger => Self::Logger,
        }
    }
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let mut query = LogQuery {
        limit: Some(PAGE),
        cursor: arguments.cursor,
        stream: arguments.stream.map(LogStream::from),
        offset: arguments.offset,
    };
    if arguments.follow {
        return follow(arguments.run, &query, context, client).await;
    }
    loop {
        let answer = client.list_run_logs(arguments.run, &query).await?;
        if context.output.is_json() {
            return context.output.line(&answer.text);
        }
        for item in &answer.body.items {
            print(item, context)?;
        }
        query.cursor = answer.body.next_cursor;
        if query.cursor.is_none() {
            return Ok(());
        }
    }
}

async fn follow(
    run: RunId,
    query: &LogQuery,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    // A run that is not there is told at once.
    client.get_run(run).await?;
    let mut follow = client.follow_run_logs(run, query);
    while let Some(item) = progress::next(&mut follow, &context.output).await? {
        if context.output.is_json() {
            context.output.line(&item.text)?;
        } else {
            print(&item.body, context)?;
        }
    }
    Ok(())
}

/// Bytes go where the run wrote them; logger entries are lines of data.
fn print(item: &LogItem, context: &Context) -> Result<(), CommandError> {
    let bytes = show::log::bytes(item)?;
    match item.stream {
        LogStream::Stdout => context.output.bytes(&bytes),
        LogStream::Stderr => {
            context.output.error_bytes(&bytes);
            Ok(())
        }
        LogStream::Logger => context
            .output
            .line(&show::log::entry(item, context.output.style())),
    }
}
