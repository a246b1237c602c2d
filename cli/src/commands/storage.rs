//! `helmr storage`.

use clap::Subcommand;

use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what the artifact store takes, as the last round of garbage collection found it
    Show,
    /// Run a round of garbage collection now, and wait for it
    Sweep,
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::Show => client.get_storage().await?,
            Self::Sweep => client.sweep_storage().await?,
        };
        context.output.answer(&answer, |body, style| {
            show::storage::one(&body.storage, style)
        })
    }
}
