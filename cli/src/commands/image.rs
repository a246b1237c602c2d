//! `helmr image`.

mod import;

use clap::Subcommand;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the images that sandboxes can be made from
    List(page::Arguments),
    /// Import an OCI layout, a docker-archive or a root filesystem, and name it
    Import(import::Arguments),
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        match self {
            Self::List(page) => {
                let answer = client.list_images(&page.query()).await?;
                page::print(context, &answer, show::image::list, show::image::NOTHING)
            }
            Self::Import(arguments) => import::run(arguments, context, &client).await,
        }
    }
}
