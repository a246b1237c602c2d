//! `helmr env`.

use clap::Subcommand;
use helmr_api::http::storage::UpdateRetention;
use helmr_api::http::value::Span;
use helmr_domain::Duration;

use crate::context::Context;
use crate::error::CommandError;
use crate::input::duration;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show which versions of its workspaces' files an environment keeps, or change that
    Retention(Retention),
}

#[derive(Debug, clap::Args)]
pub struct Retention {
    /// The environment, by id or slug: that of the key unless told
    environment: Option<String>,

    /// Keep so many of each workspace
    #[arg(long, value_name = "COUNT")]
    keep_last: Option<u32>,

    /// Keep as many as is usual: 100
    #[arg(long, conflicts_with = "keep_last")]
    usual_last: bool,

    /// Keep everything that is younger, for example 30d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_for: Option<Duration>,

    /// Keep everything for as long as is usual: 30 days
    #[arg(long, conflicts_with = "keep_for")]
    usual_for: bool,
}

/// What to change a value to, if at all.
fn change<T>(value: Option<T>, usual: bool) -> Option<Option<T>> {
    if usual { Some(None) } else { value.map(Some) }
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let Self::Retention(arguments) = self;
        let client = context.client()?;
        let environment = match arguments.environment {
            Some(environment) => environment,
            None => client.who_am_i().await?.body.environment.id.to_string(),
        };
        let change = UpdateRetention {
            keep_last: change(arguments.keep_last, arguments.usual_last),
            keep_for: change(arguments.keep_for.map(Span), arguments.usual_for),
        };
        let answer = if change.keep_last.is_none() && change.keep_for.is_none() {
            client.get_retention(&environment).await?
        } else {
            client.update_retention(&environment, &change).await?
        };
        context.output.answer(&answer, |body, style| {
            show::storage::retention(&body.retention, style)
        })
    }
}
