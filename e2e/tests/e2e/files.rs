//! Files of a workspace from outside: its machine lives, is parked, has stopped, or its server is killed meanwhile.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, Options, Server, poll_until};
use reqwest::Method;
use serde_json::{Value, json};

use crate::crash::points;
use crate::tools::no_machine_left;

const WITHIN: Duration = Duration::from_secs(60);

/// Points that only work on files passes.
pub(crate) fn is_of_files(point: &str) -> bool {
    point.contains(".files.") || point.ends_with("wake.after_edits")
}

async fn machine(server: &Server, workspace: &str) -> Result<String> {
    let path = format!("/api/v1/workspaces/{workspace}");
    let found = server.get(&path).await?;
    let state = found["workspace"]["materialization"]["state"].as_str();
    Ok(state.unwrap_or("none").to_owned())
}

async fn until_machine(server: &Server, workspace: &str, state: &str) -> Result<()> {
    poll_until(state, WITHIN, || async {
        let found = machine(server, workspace).await?;
        Ok(if found == state { Ok(()) } else { Err(found) })
    })
    .await
}

/// `helmr workspace files …`, which works.
async fn files(cli: &Cli, arguments: &[&str]) -> Result<String> {
    let all: Vec<&str> = ["workspace", "files"]
        .into_iter()
        .chain(arguments.iter().copied())
        .collect();
    let done = cli.run(&all).await?;
    ensure!(done.code == 0, "{arguments:?}: {done:?}");
    Ok(done.stdout)
}

/// A session whose run waits for input, and its workspace.
async fn waiting(server: &Server) -> Result<(String, String, String)> {
    let body = json!({"task": "waits-for", "payload": {"kind": "stream"}});
    let (session, run) = server.start_session(&body).await?;
    let found = server.run(&run).await?;
    let workspace = found["workspace_id"].as_str().context("workspace")?;
    Ok((session, run, workspace.to_owned()))
}

async fn send(server: &Server, session: &str) -> Result<()> {
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let (status, answer) = server
        .post(&path, &json!({"data": {"text": "go on"}}))
        .await?;
    ensure!(status < 300, "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_in_and_out_of_a_live_workspace_and_a_stopped_one() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let made = cli.json(&["workspace", "create"]).await?;
    let ws = made["workspace"]["id"].as_str().context("id")?.to_owned();
    let sh = |script: &'static str| {
        let (cli, ws) = (&cli, ws.clone());
        async move {
            let done = cli
                .run(&["workspace", "exec", &ws, "--", "sh", "-c", script])
                .await?;
            ensure!(done.code == 0, "{done:?}");
            anyhow::Ok(done.stdout)
        }
    };
    sh("mkdir -p src && echo from-inside > src/a && ln -s a src/link && ln -s /etc src/etc")
        .await?;
    ensure!(files(&cli, &["cat", &ws, "src/link"]).await? == "from-inside\n");
    let refused = cli
        .run(&["workspace", "files", "ls", &ws, "src/etc"])
        .await?;
    ensure!(
        refused.code == 5 && refused.stderr.contains("file_link_outside"),
        "{refused:?}"
    );
    let scratch = tempfile::tempdir()?;
    let local = scratch.path().join("project");
    fs::create_dir_all(local.join("deep"))?;
    fs::write(local.join("deep/file"), vec![7; 300_000])?;
    fs::write(local.join("run.sh"), "#!/bin/sh\necho ran\n")?;
    let local = local.to_str().context("path")?;
    std::process::Command::new("chmod")
        .args(["755", &format!("{local}/run.sh")])
        .status()?;
    files(&cli, &["put", &ws, local, "project"]).await?;
    ensure!(sh("sh -c ./project/run.sh && wc -c < project/deep/file").await? == "ran\n300000\n");
    let seen = cli
        .json(&["workspace", "files", "stat", &ws, "src/a"])
        .await?;
    let revision = seen["file"]["revision"]
        .as_str()
        .context("revision")?
        .to_owned();
    sh("echo changed > src/a").await?;
    let note = scratch.path().join("note");
    fs::write(&note, "by api")?;
    let note = note.to_str().context("path")?;
    let refused = cli
        .run(&[
            "workspace",
            "files",
            "put",
            &ws,
            note,
            "src/a",
            "--if-match",
            &revision,
        ])
        .await?;
    ensure!(
        refused.code == 5 && refused.stderr.contains("file_changed"),
        "{refused:?}"
    );
    files(&cli, &["put", &ws, note, "src/a"]).await?;
    ensure!(sh("cat src/a").await? == "by api");
    files(&cli, &["mv", &ws, "src/a", "src/b"]).await?;
    files(&cli, &["chmod", &ws, "600", "src/b"]).await?;
    files(&cli, &["mkdir", &ws, "x/y", "--parents"]).await?;
    // The sandbox's first look at a name that it did not give itself may still tell the old mode.
    ensure!(sh("stat src/b > /dev/null && stat -c %a src/b && ls x").await? == "600\ny\n");
    files(&cli, &["rm", &ws, "x", "--recursive"]).await?;
    // Without a machine the same files, and more of the same.
    cli.json(&["workspace", "stop", &ws]).await?;
    until_machine(&server, &ws, "stopped").await?;
    ensure!(files(&cli, &["cat", &ws, "src/b", "--range", "0-1"]).await? == "by");
    let out = scratch.path().join("out");
    let out = out.to_str().context("path")?;
    files(&cli, &["get", &ws, "project", out]).await?;
    ensure!(fs::read(format!("{out}/deep/file"))? == vec![7; 300_000]);
    files(&cli, &["put", &ws, note, "new/note", "--parents"]).await?;
    files(&cli, &["rm", &ws, "src/b"]).await?;
    let found = files(&cli, &["grep", &ws, "by api"]).await?;
    ensure!(found == "new/note:1:by api\n", "{found}");
    let found = cli
        .json(&["workspace", "files", "glob", &ws, "**/file"])
        .await?;
    ensure!(found["items"][0]["path"] == "project/deep/file", "{found}");
    ensure!(machine(&server, &ws).await? == "stopped");
    ensure!(sh("cat new/note && ls src").await? == "by apietc\nlink\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_workspace_is_read_and_written_and_stays_parked() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let (session, run, ws) = waiting(&server).await?;
    server.await_parked(&run).await?;
    let scratch = tempfile::tempdir()?;
    let note = scratch.path().join("note");
    fs::write(&note, "while it slept")?;
    files(
        &cli,
        &[
            "put",
            &ws,
            note.to_str().context("path")?,
            "dir/note",
            "--parents",
        ],
    )
    .await?;
    ensure!(files(&cli, &["cat", &ws, "dir/note"]).await? == "while it slept");
    ensure!(machine(&server, &ws).await? == "parked");
    ensure!(server.machines().processes().is_empty());
    let inside = ["workspace", "exec", &ws, "--", "cat", "dir/note"];
    let seen = cli.run(&inside).await?;
    ensure!(seen.stdout == "while it slept", "{seen:?}");
    send(&server, &session).await?;
    server.await_end_of(&run).await?;
    cli.json(&["workspace", "stop", &ws]).await?;
    until_machine(&server, &ws, "stopped").await?;
    ensure!(files(&cli, &["cat", &ws, "dir/note"]).await? == "while it slept");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_a_write_leaves_the_old_file_or_the_new_one() -> Result<()> {
    let mut mine = points()?;
    // Those within a tree are in `limits.rs`.
    mine.retain(|point| is_of_files(point) && !point.ends_with("_entry"));
    ensure!(mine.len() >= 4, "{mine:?}");
    for point in &mine {
        killed_at(point).await.with_context(|| point.clone())?;
    }
    Ok(())
}

/// Writes a large file over another in a parked workspace with the point armed, and wakes it.
async fn killed_at(point: &str) -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let (session, run, ws) = waiting(&server).await?;
    server.await_parked(&run).await?;
    let (old, new) = ("o".repeat(2 << 20), "n".repeat(3 << 20));
    let path = format!("/api/v1/workspaces/{ws}/files/content?path=big");
    let put = async |server: &Server, text: &str| {
        let sent = server.request(Method::PUT, &path).body(text.to_owned());
        let answer = sent.send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        anyhow::Ok(())
    };
    put(&server, &old).await?;
    server.kill()?;
    server
        .restart(Options {
            kill_at: Some(point.to_owned()),
            ..Options::default()
        })
        .await?;
    let wrote = put(&server, &new).await;
    if wrote.is_ok() {
        // The point lies on the way of a wake.
        send(&server, &session).await.ok();
    }
    server
        .await_end(WITHIN)
        .await
        .with_context(|| format!("not passed; {wrote:?}"))?;
    server.restart(Options::default()).await?;
    let read = async |server: &Server| {
        let answer = server.request(Method::GET, &path).send().await?;
        anyhow::Ok(answer.text().await?)
    };
    let found = read(&server).await?;
    ensure!(found == old || found == new, "torn: {} bytes", found.len());
    ensure!(wrote.is_err() || found == new, "what was answered is gone");
    if server.run(&run).await?["status"] == "waiting" {
        send(&server, &session).await?;
    }
    server.await_end_of(&run).await?;
    ensure!(read(&server).await? == found, "it woke with another");
    ensure!(server.terminate().await? == 0);
    let left: Value = json!(no_machine_left(&server).await.is_ok());
    ensure!(left == true);
    Ok(())
}
