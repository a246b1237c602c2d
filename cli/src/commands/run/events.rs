//! `helmr run events`.

use helmr_api::client::Client;
use helmr_api::http::page::PageQuery;
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

    /// Go on with what happens until the run has ended
    #[arg(long, short)]
    follow: bool,

    /// How many at most; all unless told
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: Option<u32>,

    /// Begin after this event
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    if arguments.follow {
        return follow(arguments, context, client).await;
    }
    let mut query = PageQuery {
        limit: Some(arguments.limit.unwrap_or(PAGE)),
        cursor: arguments.cursor,
    };
    let output = context.output;
    loop {
        let answer = client.list_run_events(arguments.run, &query).await?;
        output.answer(&answer, |page, style| show::event::list(&page.items, style))?;
        query.cursor = answer.body.next_cursor;
        // One answer, one document: programs ask for the next page themselves.
        if output.is_json() || arguments.limit.is_some() || query.cursor.is_none() {
            return Ok(());
        }
    }
}

async fn follow(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let run = arguments.run;
    // A run that is not there is told at once.
    client.get_run(run).await?;
    let mut follow = client.follow_run_events(run, arguments.cursor);
    while let Some(event) = progress::next(&mut follow, &context.output).await? {
        context.output.answer(&event, show::event::one)?;
    }
    Ok(())
}
