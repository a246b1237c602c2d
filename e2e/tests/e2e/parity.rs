//! What REST can do with sessions, streams, runs, tokens and workspaces, the command line can.

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Options, Server};

const TAGS: [&str; 6] = [
    "sessions",
    "streams",
    "runs",
    "tokens",
    "public-tokens",
    "workspaces",
];

/// The command for each operation.
const COMMANDS: [(&str, &str); 37] = [
    ("start_session", "session start"),
    ("list_sessions", "session list"),
    ("get_session", "session get"),
    ("update_session", "session update"),
    ("close_session", "session close"),
    ("cancel_session", "session cancel"),
    // With `--session`.
    ("list_session_runs", "run list"),
    ("list_session_events", "session events"),
    ("list_transcript", "session transcript"),
    // A session is shown with its streams.
    ("list_streams", "session get"),
    // With `--input`.
    ("list_inputs", "session read"),
    ("send_input", "session send"),
    ("list_outputs", "session follow"),
    ("list_runs", "run list"),
    ("get_run", "run get"),
    ("cancel_run", "run cancel"),
    ("retry_run", "run retry"),
    ("list_run_events", "run events"),
    ("list_run_logs", "run logs"),
    ("create_token", "token create"),
    ("list_tokens", "token list"),
    ("get_token", "token get"),
    ("complete_token", "token complete"),
    ("cancel_token", "token cancel"),
    ("create_public_token", "public-token create"),
    ("list_public_tokens", "public-token list"),
    ("get_public_token", "public-token get"),
    ("revoke_public_token", "public-token revoke"),
    ("create_workspace", "workspace create"),
    ("list_workspaces", "workspace list"),
    ("get_workspace", "workspace get"),
    ("update_workspace", "workspace update"),
    ("delete_workspace", "workspace delete"),
    ("stop_workspace", "workspace stop"),
    ("recover_workspace", "workspace recover"),
    ("list_workspace_versions", "workspace versions"),
    // With a version.
    ("get_workspace_version", "workspace versions"),
];

/// For providers, which have a URL and nothing else.
const WITHOUT: [&str; 2] = ["complete_by_callback", "look_at_callback"];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_has_a_command() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let document = server.get("/api/v1/openapi.json").await?;
    let paths = document["paths"].as_object().context("no paths")?;
    let methods = paths
        .values()
        .filter_map(|path| path.as_object())
        .flat_map(|path| path.values());
    let mut operations: Vec<&str> = methods
        .filter(|operation| {
            let tags = operation["tags"].as_array();
            tags.is_some_and(|tags| tags.iter().any(|tag| TAGS.iter().any(|mine| tag == mine)))
        })
        .filter_map(|operation| operation["operationId"].as_str())
        .filter(|operation| !WITHOUT.contains(operation))
        .collect();
    operations.sort_unstable();
    let mut named: Vec<&str> = COMMANDS.iter().map(|(operation, _)| *operation).collect();
    named.sort_unstable();
    assert_eq!(operations, named);
    let cli = server.cli()?;
    for (operation, command) in COMMANDS {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let shown = cli.run(&arguments).await?;
        ensure!(shown.code == 0, "{operation}: helmr {command}: {shown:?}");
    }
    Ok(())
}
