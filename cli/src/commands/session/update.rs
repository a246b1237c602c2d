//! `helmr session update`.

use clap::ArgGroup;
use helmr_api::client::Client;
use helmr_api::http::sessions::UpdateSession;
use helmr_domain::SessionId;

use crate::context::Context;
use crate::error::CommandError;
use crate::input::Json;
use crate::show;

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["tags", "no_tags", "metadata"]))]
pub struct Arguments {
    /// The session's id (ses_…)
    session: SessionId,

    /// A word to find it by; may be repeated. Those that are not named are taken away
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,

    /// Take all its tags away
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,

    /// An object kept with it, in place of what is kept: JSON, @FILE, or - for standard input
    #[arg(long, value_name = "JSON|@FILE|-")]
    metadata: Option<Json>,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let named = !arguments.tags.is_empty() || arguments.no_tags;
    let metadata = arguments.metadata.as_ref();
    let body = UpdateSession {
        tags: named.then_some(arguments.tags),
        metadata: metadata
            .map(|json| json.read_object("--metadata"))
            .transpose()?,
    };
    let answer = client.update_session(arguments.session, &body).await?;
    context.output.answer(&answer, |body, style| {
        show::session::one(&body.session, style)
    })
}
