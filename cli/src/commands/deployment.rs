//! `helmr deployment`.

use clap::Subcommand;
use helmr_api::client::IdempotencyKey;
use helmr_domain::DeploymentId;

use crate::commands::page;
use crate::context::Context;
use crate::error::CommandError;
use crate::show;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the deployments, newest first
    List(page::Arguments),
    /// Show a deployment
    Get {
        /// The deployment's id (dep_…)
        deployment: DeploymentId,
    },
    /// Make a deployment the one that starts use; an older one is a rollback
    Promote {
        /// The deployment's id (dep_…)
        deployment: DeploymentId,
    },
}

impl Command {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let client = context.client()?;
        let answer = match self {
            Self::List(page) => {
                let answer = client.list_deployments(&page.query()).await?;
                return page::print(
                    context,
                    &answer,
                    show::deployment::list,
                    show::deployment::NOTHING,
                );
            }
            Self::Get { deployment } => client.get_deployment(deployment).await?,
            Self::Promote { deployment } => {
                let key = IdempotencyKey::random();
                client.promote_deployment(deployment, &key).await?
            }
        };
        context.output.answer(&answer, |body, style| {
            show::deployment::one(&body.deployment, style)
        })
    }
}
