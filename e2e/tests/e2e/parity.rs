//! What REST can do with sessions, streams, runs, tokens, workspaces, execs and PTYs, the command line can.

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Options, Server};

const TAGS: [&str; 11] = [
    "files",
    "sessions",
    "streams",
    "runs",
    "tokens",
    "public-tokens",
    "workspaces",
    "execs",
    "ptys",
    "quotas",
    "storage",
];

/// The command for each operation.
const COMMANDS: [(&str, &str); 82] = [
    ("list_files", "workspace files ls"),
    ("stat_file", "workspace files stat"),
    ("read_file", "workspace files cat"),
    ("write_file", "workspace files put"),
    ("append_file", "workspace files append"),
    ("remove_file", "workspace files rm"),
    ("move_file", "workspace files mv"),
    ("make_directory", "workspace files mkdir"),
    ("change_mode", "workspace files chmod"),
    // With a directory.
    ("download_files", "workspace files get"),
    ("upload_files", "workspace files put"),
    ("glob_files", "workspace files glob"),
    ("search_files", "workspace files grep"),
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
    ("materialize_workspace", "workspace materialize"),
    ("connect_workspace", "workspace connect"),
    ("archive_workspace", "workspace archive"),
    ("unarchive_workspace", "workspace unarchive"),
    ("fork_workspace", "workspace fork"),
    ("list_workspace_versions", "workspace versions"),
    // With a version.
    ("get_workspace_version", "workspace versions"),
    ("create_exec", "workspace exec"),
    ("list_execs", "workspace ps"),
    ("get_exec", "exec get"),
    ("read_exec_stdout", "exec logs"),
    // With `--stream`.
    ("read_exec_stderr", "exec logs"),
    ("write_exec_stdin", "exec write"),
    ("signal_exec", "exec signal"),
    ("create_pty", "pty create"),
    ("list_ptys", "pty list"),
    ("get_pty", "pty get"),
    ("read_pty_output", "pty output"),
    ("write_pty_input", "pty write"),
    ("resize_pty", "pty resize"),
    ("close_pty", "pty close"),
    ("attach_pty", "pty attach"),
    ("get_quotas", "quota get"),
    ("update_quotas", "quota set"),
    ("capture_workspace", "workspace capture"),
    ("restore_workspace", "workspace restore"),
    ("diff_workspace", "workspace diff"),
    // With `--patch`.
    ("diff_workspace_text", "workspace diff"),
    ("export_workspace_version", "workspace export"),
    ("import_workspace_version", "workspace import"),
    ("get_storage", "storage show"),
    ("sweep_storage", "storage sweep"),
    ("get_retention", "env retention"),
    // With `--keep-last` or `--keep-for`.
    ("update_retention", "env retention"),
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
