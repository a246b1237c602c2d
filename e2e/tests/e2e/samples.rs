//! The documented samples, deployed as they are written, and run.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use anyhow::Result;
use helmr_e2e::{Options, Server, repository};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_release_sample_waits_for_its_approval() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    // `review-pr`, beside it, has image steps, which a deploy refuses.
    let project = tempfile::Builder::new()
        .prefix("helmr-e2e-project-")
        .tempdir_in(repository().join("target/e2e"))?;
    let copied = Command::new("cp")
        .arg("-r")
        .arg(repository().join("examples/product-docs/."))
        .arg(project.path())
        .status()?;
    assert!(copied.success());
    fs::remove_file(project.path().join("tasks/review-pr.ts"))?;
    symlink(
        repository().join("sdk/typescript/node_modules"),
        project.path().join("node_modules"),
    )?;
    cli.json(&["deploy", &project.path().to_string_lossy()])
        .await?;
    let (_, run) = server.start_session(&json!({"task": "release"})).await?;
    let parked = server.await_parked(&run).await?;
    let token = parked["pending_wait"]["token_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let shown = cli.json(&["token", "get", &token]).await?;
    assert_eq!(
        shown["token"]["tags"],
        json!(["approval", "production"]),
        "{shown}"
    );
    assert_eq!(shown["token"]["metadata"], json!({"release": "2026.06.15"}));
    assert!(
        !shown.to_string().contains("hlmr_pat_"),
        "secrets are shown once"
    );
    cli.json(&[
        "token",
        "complete",
        &token,
        "--data",
        "{\"approved\":false}",
    ])
    .await?;
    assert_eq!(server.await_output(&run).await?, json!({"deployed": false}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_shows_the_agent_continue() -> Result<()> {
    let output = tokio::process::Command::new(repository().join("script/demo"))
        .env("HELMR_DEMO_PORT", "4399")
        .env("HELMR_DEMO_BINARY", helmr_e2e::binary()?)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(300), output).await??;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for part in ["parked", "SIGKILL", "same memory", "Timeline"] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    Ok(())
}
