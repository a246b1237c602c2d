//! `helmr reference`: the pages that are generated from the code. For `cargo xtask codegen`, so not in the help.

use axum::body::Body;
use clap::{CommandFactory as _, ValueEnum};
use helmr_cli::{CommandError, Context};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Which page
    #[arg(value_enum)]
    page: Page,
}

/// What can be printed.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Page {
    Cli,
    Environment,
    Openapi,
}

pub(crate) async fn run(arguments: &Arguments, context: &Context) -> Result<(), CommandError> {
    let text = match arguments.page {
        Page::Cli => helmr_cli::reference::commands(&crate::arguments::Arguments::command()),
        Page::Environment => helmr_cli::reference::variables(),
        Page::Openapi => openapi().await?,
    };
    context.output.text(&text)
}

/// Asks a server that lives for this one request: what is documented is what is served.
async fn openapi() -> Result<String, CommandError> {
    let failed = |what: &'static str| {
        move |error: &dyn std::error::Error| CommandError::failed(what).because(error)
    };
    let folder = tempfile::tempdir().map_err(|error| failed("make a temporary folder")(&error))?;
    let mut config =
        helmr_control::Config::in_directory(folder.path(), "http://localhost".to_owned());
    config.database = helmr_control::Database::InMemory;
    let control = helmr_control::start(config)
        .await
        .map_err(|error| failed("start a control plane")(&error))?;
    let request = http::Request::get("/api/v1/openapi.json")
        .body(Body::empty())
        .map_err(|error| failed("ask for the document")(&error))?;
    let answer = control
        .router()
        .oneshot(request)
        .await
        .unwrap_or_else(|never| match never {});
    let bytes = answer
        .into_body()
        .collect()
        .await
        .map_err(|error| failed("read the document")(&error))?
        .to_bytes();
    control.shutdown().await;
    let document: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| failed("read the document")(&error))?;
    let pretty = serde_json::to_string_pretty(&document)
        .map_err(|error| failed("write the document")(&error))?;
    Ok(format!("{pretty}\n"))
}
