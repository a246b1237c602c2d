//! `helmr token`.

mod create;

use clap::{Subcommand, ValueEnum};
use helmr_api::http::tokens::{CompleteToken, ListTokens, TokenStatus};
use helmr_domain::{RunId, SessionId, TokenId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::input::Json;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a token, for others to complete
    Create(create::Arguments),
    /// List the tokens, newest first
    List {
        #[command(flatten)]
        page: page::Arguments,
        /// Only those in this status
        #[arg(long, value_enum)]
        status: Option<Status>,
        /// Only those that this run made
        #[arg(long, value_name = "RUN")]
        run: Option<RunId>,
        /// Only those that runs of this session made
        #[arg(long, value_name = "SESSION")]
        session: Option<SessionId>,
        /// Only those with this tag
        #[arg(long, value_name = "TAG")]
        tag: Option<String>,
    },
    /// Show a token
    Get {
        /// The token's id (tok_…)
        token: TokenId,
    },
    /// Complete a token: what waits for it goes on. The same data again is fine
    Complete {
        /// The token's id (tok_…)
        token: TokenId,
        /// The value: JSON, @FILE, or - for standard input
        #[arg(long, value_name = "JSON|@FILE|-")]
        data: Json,
    },
    /// Cancel a pending token: what waits for it is told
    Cancel {
        /// The token's id (tok_…)
        token: TokenId,
    },
}

/// The statuses of a token.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Status {
    Pending,
    Completed,
    Expired,
    Cancelled,
}

impl From<Status> for TokenStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Completed => Self::Completed,
            Status::Expired => Self::Expired,
            Status::Cancelled => Self::Cancelled,
        }
    }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        match self {
            Self::Create(arguments) => create::run(arguments, context, &client).await,
            Self::List {
                page,
                status,
                run,
                session,
                tag,
            } => {
                let query = ListTokens {
                    limit: Some(page.limit),
                    cursor: page.cursor,
                    status: status.map(TokenStatus::from),
                    run_id: run.map(|run| run.to_string()),
                    session_id: session.map(|session| session.to_string()),
                    tag,
                };
                let answer = client.list_tokens(&query).await?;
                page::print(context, &answer, show::token::list, show::token::NOTHING)
            }
            Self::Get { token } => {
                let answer = client.get_token(token).await?;
                context
                    .output
                    .answer(&answer, |body, style| show::token::one(&body.token, style))
            }
            Self::Complete { token, data } => {
                let data = data.read("--data")?;
                let answer = client
                    .complete_token(token, &CompleteToken { data })
                    .await?;
                if answer.body.already_completed {
                    context
                        .output
                        .note("It was completed with the same data before: nothing changed.");
                }
                context
                    .output
                    .answer(&answer, |body, style| show::token::one(&body.token, style))
            }
            Self::Cancel { token } => {
                let answer = client.cancel_token(token).await?;
                context
                    .output
                    .answer(&answer, |body, style| show::token::one(&body.token, style))
            }
        }
    }
}
