//! `helmr public-token`.

mod create;

use clap::Subcommand;
use helmr_api::http::public_tokens::ListPublicTokens;
use helmr_domain::{PublicTokenId, SessionId, TokenId};

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a public access token, fit for a browser: for one token, or for one stream of a session
    Create(create::Arguments),
    /// List the public access tokens, newest first
    List {
        #[command(flatten)]
        page: page::Arguments,
        /// Only those that complete this token
        #[arg(long, value_name = "TOKEN")]
        token: Option<TokenId>,
        /// Only those of this session's streams
        #[arg(long, value_name = "SESSION")]
        session: Option<SessionId>,
    },
    /// Show what is known of a public access token
    Get {
        /// The public access token's id (pat_…)
        public_token: PublicTokenId,
    },
    /// Revoke a public access token at once
    Revoke {
        /// The public access token's id (pat_…)
        public_token: PublicTokenId,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Create(arguments) => return create::run(arguments, context, &client).await,
            Self::List {
                page,
                token,
                session,
            } => {
                let query = ListPublicTokens {
                    limit: Some(page.limit),
                    cursor: page.cursor,
                    token_id: token.map(|token| token.to_string()),
                    session_id: session.map(|session| session.to_string()),
                };
                let answer = client.list_public_tokens(&query).await?;
                return page::print(
                    context,
                    &answer,
                    show::public_token::list,
                    show::public_token::NOTHING,
                );
            }
            Self::Get { public_token } => client.get_public_token(public_token).await?,
            Self::Revoke { public_token } => client.revoke_public_token(public_token).await?,
        };
        context.output.answer(&answer, |body, style| {
            show::public_token::one(&body.public_token, style)
        })
    }
}
