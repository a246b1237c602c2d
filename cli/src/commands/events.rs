//! Events, printed or followed: those of a run, and those of a session.

use helmr_api::client::{Answer, Client, Error, Follow};
use helmr_api::http::events::Event;
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::{RunId, SessionId};

use crate::context::Context;
use crate::error::CommandError;
use crate::progress;
use crate::show;

/// Most items that the server gives at once.
const PAGE: u32 = 200;

/// Which events.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Arguments {
    /// Go on with what happens until it has ended
    #[arg(long, short)]
    follow: bool,

    /// How many at most; all unless told
    #[arg(long, value_name = "N", conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..=200))]
    limit: Option<u32>,

    /// Begin after this event
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

/// Whose events.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    Run(RunId),
    Session(SessionId),
}

impl Subject {
    async fn list(self, client: &Client, query: &PageQuery) -> Result<Answer<Page<Event>>, Error> {
        match self {
            Self::Run(run) => client.list_run_events(run, query).await,
            Self::Session(session) => client.list_session_events(session, query).await,
        }
    }

    /// One that is not there is told at once.
    async fn follow(self, client: &Client, cursor: Option<String>) -> Result<Follow<Event>, Error> {
        match self {
            Self::Run(run) => {
                client.get_run(run).await?;
                Ok(client.follow_run_events(run, cursor))
            }
            Self::Session(session) => {
                client.get_session(session).await?;
                Ok(client.follow_session_events(session, cursor))
            }
        }
    }
}

pub(crate) async fn run(
    subject: Subject,
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let output = context.output;
    if arguments.follow {
        let mut follow = subject.follow(client, arguments.cursor).await?;
        while let Some(event) = progress::next(&mut follow, &output).await? {
            output.answer(&event, show::event::one)?;
        }
        return Ok(());
    }
    let mut query = PageQuery {
        limit: Some(arguments.limit.unwrap_or(PAGE)),
        cursor: arguments.cursor,
    };
    loop {
        let answer = subject.list(client, &query).await?;
        output.answer(&answer, |page, style| show::event::list(&page.items, style))?;
        query.cursor = answer.body.next_cursor;
        // One answer, one document: programs ask for the next page themselves.
        if output.is_json() || arguments.limit.is_some() || query.cursor.is_none() {
            return Ok(());
        }
    }
}
