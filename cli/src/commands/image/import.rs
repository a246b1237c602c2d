//! `helmr image import`.

use std::path::PathBuf;

use helmr_api::client::{Client, IdempotencyKey};
use helmr_api::http::images::ImportImage;
use helmr_api::http::uploads::UploadKind;

use crate::context::Context;
use crate::deploy::archive::Source;
use crate::error::CommandError;
use crate::progress::{self, Step};
use crate::show;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// An OCI layout (folder or tar), a docker-archive, or a root filesystem (folder or tar)
    source: PathBuf,

    /// What tasks call it, as in `image(…).from(NAME)`
    #[arg(long, value_name = "NAME")]
    name: String,
}

pub(super) async fn run(
    arguments: Arguments,
    context: &Context,
    client: &Client,
) -> Result<(), CommandError> {
    let output = context.output;
    let source = Source::at(&arguments.source).map_err(|error| {
        CommandError::usage(format!("read {}", arguments.source.display())).because(&error)
    })?;
    let sum = progress::upload(client, &output, UploadKind::Image, &source).await?;
    let step = Step::begin(&output, "Making a root filesystem of it");
    let body = ImportImage {
        name: arguments.name,
        upload_sha256: sum.sha256,
    };
    let answer = client
        .import_image(&body, &IdempotencyKey::random())
        .await?;
    step.done(&format!("Imported {}", answer.body.image.name));
    output.answer(&answer, |body, style| show::image::one(&body.image, style))
}
