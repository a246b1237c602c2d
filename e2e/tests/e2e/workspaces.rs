//! Workspaces in people's hands: made, found, worked in by sessions, stopped and deleted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Options, Server, poll_until};
use serde_json::{Value, json};

/// A machine captures its files and ends, on a machine that is shared.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

fn text(value: &Value, pointer: &str) -> Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no text at {pointer} of {value}"))?
        .to_owned())
}

async fn workspace(server: &Server, id: &str) -> Result<Value> {
    Ok(server.get(&format!("/api/v1/workspaces/{id}")).await?["workspace"].clone())
}

/// Waits until a workspace is as it should be.
async fn await_workspace(
    server: &Server,
    id: &str,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value> {
    poll_until(what, STOPS_WITHIN, || async {
        let found = workspace(server, id).await?;
        Ok(if fits(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        })
    })
    .await
}

fn machine_is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |workspace| workspace["materialization"]["state"] == state
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_works_in_a_workspace_that_was_made_for_it() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let made = cli
        .json(&[
            "workspace",
            "create",
            "--external-id",
            "repo",
            "--tag",
            "e2e",
            "--auto-stop-after",
            "1h",
        ])
        .await?;
    let id = text(&made, "/workspace/id")?;
    cli.json(&["workspace", "create"]).await?;
    let listed = cli.json(&["workspace", "list", "--tag", "e2e"]).await?;
    ensure!(
        listed["items"].as_array().map(Vec::len) == Some(1),
        "{listed}"
    );
    ensure!(listed["items"][0]["id"] == id, "{listed}");
    let taken = cli
        .run(&["workspace", "create", "--external-id", "repo"])
        .await?;
    ensure!(taken.code == 5, "{taken:?}");

    let started = cli
        .json(&[
            "session",
            "start",
            "writes-a-file",
            "--payload",
            r#"{"name":"a","text":"one"}"#,
            "--workspace",
            &id,
            "--wait",
        ])
        .await?;
    ensure!(started["run"]["status"] == "succeeded", "{started}");
    ensure!(started["session"]["workspace_id"] == id, "{started}");
    let captured = |workspace: &Value| workspace["current_version_id"].is_string();
    let first = await_workspace(&server, &id, "a version of the run", captured).await?;
    ensure!(machine_is("live")(&first), "{first}");
    // What the next session finds is what the first one left, in the same machine.
    let started = cli
        .json(&[
            "session",
            "start",
            "reads-files",
            "--workspace",
            &id,
            "--wait",
        ])
        .await?;
    ensure!(started["run"]["output"] == json!({"a": "one"}), "{started}");

    let told = cli.json(&["workspace", "stop", &id]).await?;
    ensure!(
        told["workspace"]["materialization"]["stop_requested"] == true,
        "{told}"
    );
    let stopped =
        await_workspace(&server, &id, "the machine to stop", machine_is("stopped")).await?;
    let version = text(&stopped, "/current_version_id")?;
    let versions = cli.json(&["workspace", "versions", &id]).await?;
    ensure!(versions["items"][0]["id"] == version, "{versions}");
    ensure!(versions["items"][0]["current"] == true, "{versions}");
    let shown = cli.json(&["workspace", "versions", &id, &version]).await?;
    ensure!(shown["version"] == versions["items"][0], "{shown}");
    // And in the next machine.
    let started = cli
        .json(&[
            "session",
            "start",
            "reads-files",
            "--workspace",
            &id,
            "--wait",
        ])
        .await?;
    ensure!(started["run"]["output"] == json!({"a": "one"}), "{started}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_workspace_is_deleted_by_force_alone() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let made = cli
        .json(&["workspace", "create", "--external-id", "repo"])
        .await?;
    let id = text(&made, "/workspace/id")?;
    let body = json!({"task": "cleans-up", "payload": {"how": "parks"}, "workspace_id": id});
    let (session, run) = server.start_session(&body).await?;
    server.await_parked(&run).await?;
    for command in ["stop", "delete"] {
        let refused = cli.run(&["workspace", command, &id, "--json"]).await?;
        ensure!(refused.code == 5, "{refused:?}");
        ensure!(refused.stderr.contains("workspace_busy"), "{refused:?}");
    }
    ensure!(workspace(&server, &id).await?["state"] == "active");

    let deleted = cli.json(&["workspace", "delete", &id, "--force"]).await?;
    ensure!(deleted["workspace"]["state"] == "deleted", "{deleted}");
    // It is woken for its grace, and its machine ends after it.
    let ended = server.await_end_of(&run).await?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    let over = await_workspace(&server, &id, "the machine to end", machine_is("stopped")).await?;
    ensure!(over["state"] == "deleted", "{over}");
    let session = server.get(&format!("/api/v1/sessions/{session}")).await?;
    ensure!(session["session"]["status"] == "cancelled", "{session}");
    let listed = cli.json(&["workspace", "list"]).await?;
    let mut items = listed["items"].as_array().into_iter().flatten();
    ensure!(items.all(|item| item["id"] != id), "{listed}");
    let refused = cli
        .run(&["session", "start", "reads-files", "--workspace", &id])
        .await?;
    ensure!(refused.code == 5, "{refused:?}");
    // Its external id is free again.
    cli.json(&["workspace", "create", "--external-id", "repo"])
        .await?;
    Ok(())
}
