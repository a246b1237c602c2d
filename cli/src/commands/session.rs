//! `helmr session`.

mod follow;
mod list;
mod read;
mod send;
mod start;
mod transcript;
mod update;

use clap::Subcommand;
use helmr_api::http::sessions::CancelSession;
use helmr_domain::SessionId;

use crate::commands::events;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a task in a new session
    Start(start::Arguments),
    /// List the sessions, newest first
    List(list::Arguments),
    /// Show a session, with its streams
    Get {
        /// The session's id (ses_…)
        session: SessionId,
    },
    /// Close a session whose run has ended: nothing can be sent to it any more
    Close {
        /// The session's id (ses_…)
        session: SessionId,
    },
    /// Cancel a session and its active run
    Cancel {
        /// The session's id (ses_…)
        session: SessionId,
        /// Why, for those who look later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Send a record to one of the session's input streams
    Send(send::Arguments),
    /// Read the records of one of the session's streams, oldest first
    Read(read::Arguments),
    /// Follow one of the session's streams, from its first record on
    Follow(follow::Arguments),
    /// Read the records of all the session's streams in the order in which they came, or follow them
    Transcript(transcript::Arguments),
    /// Print what happened to a session beside its runs, oldest first
    Events {
        /// The session's id (ses_…)
        session: SessionId,
        #[command(flatten)]
        which: events::Arguments,
    },
    /// Change a session's tags or metadata
    Update(update::Arguments),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Start(arguments) => return start::run(arguments, context, &client).await,
            Self::Send(arguments) => return send::run(arguments, context, &client).await,
            Self::Read(arguments) => return read::run(arguments, context, &client).await,
            Self::Follow(arguments) => return follow::run(arguments, context, &client).await,
            Self::Transcript(arguments) => {
                return transcript::run(arguments, context, &client).await;
            }
            Self::Update(arguments) => return update::run(arguments, context, &client).await,
            Self::Events { session, which } => {
                let subject = events::Subject::Session(session);
                return events::run(subject, which, context, &client).await;
            }
            Self::List(arguments) => return list::run(arguments, context, &client).await,
            Self::Get { session } => {
                let answer = client.get_session(session).await?;
                if context.output.is_json() {
                    return context.output.line(&answer.text);
                }
                let streams = client.list_streams(session, &Default::default()).await?;
                let style = context.output.style();
                let mut text = show::session::one(&answer.body.session, style);
                text.push_str(&show::stream::lanes(&streams.body.items, style));
                return context.output.text(&text);
            }
            Self::Close { session } => client.close_session(session).await?,
            Self::Cancel { session, reason } => {
                client
                    .cancel_session(session, &CancelSession { reason })
                    .await?
            }
        };
        context.output.answer(&answer, |body, style| {
            show::session::one(&body.session, style)
        })
    }
}
