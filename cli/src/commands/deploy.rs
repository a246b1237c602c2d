//! `helmr deploy`.

use std::path::PathBuf;

use helmr_api::client::IdempotencyKey;
use helmr_api::http::deployments::{CreateDeployment, Deployment};
use helmr_api::http::uploads::UploadKind;

use crate::context::Context;
use crate::deploy::archive::Source;
use crate::deploy::project::Project;
use crate::deploy::tree::Care;
use crate::deploy::{bundler, node, provenance};
use crate::error::CommandError;
use crate::progress::{self, Step};
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The task project: the folder with helmr.config.ts
    #[arg(default_value = ".", value_name = "PATH")]
    path: PathBuf,

    /// Keep the deployment aside: starts go on using the one they use now
    #[arg(long)]
    no_promote: bool,

    /// Repeating the command with the same key gives the first answer
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

pub(super) async fn run(arguments: Arguments, context: &Context) -> Result<(), CommandError> {
    // The server is found before the work: a missing key is told at once.
    let client = context.client()?;
    let output = context.output;
    let project = Project::find(&arguments.path)?;
    let node = node::find(project.root()).await?;
    let bundler = bundler::find(&project, context.kit).await?;

    let step = Step::begin(&output, "Bundling");
    let out = tempfile::Builder::new()
        .prefix("helmr-deploy-")
        .tempdir()
        .map_err(|error| CommandError::failed("make a temporary folder").because(&error))?;
    let index = bundler.run(&node, &project, out.path()).await?;
    step.done(&format!("Bundled {}", bundler::summary(&index)));

    let bundle = Source::Tree(out.path().to_owned(), Care::Contents);
    let bundle = progress::upload(&client, &output, UploadKind::Bundle, &bundle).await?;

    let step = Step::begin(&output, "Deploying");
    let body = CreateDeployment {
        index,
        bundle_sha256: bundle.sha256,
        provenance: provenance::of(&node, out.path()),
        promote: !arguments.no_promote,
    };
    let key = arguments
        .idempotency_key
        .map_or_else(IdempotencyKey::random, IdempotencyKey);
    let answer = client.create_deployment(&body, &key).await?;
    step.done(&told(&answer.body.deployment));
    output.answer(&answer, |body, style| {
        show::deployment::one(&body.deployment, style)
    })?;
    if !output.is_json() {
        output.note(&next_step(&answer.body.deployment));
    }
    Ok(())
}

fn told(deployment: &Deployment) -> String {
    let version = &deployment.version;
    if deployment.current {
        format!("Deployed {version}: starts use it now")
    } else {
        format!("Deployed {version}, not promoted")
    }
}

fn next_step(deployment: &Deployment) -> String {
    match deployment.tasks.first() {
        Some(task) if deployment.current => format!("Next: helmr session start {task}"),
        _ => format!("Next: helmr deployment promote {}", deployment.id),
    }
}
