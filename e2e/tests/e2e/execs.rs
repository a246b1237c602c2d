//! Commands run in a workspace, beside its runs and without any.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use helmr_e2e::{Cli, Options, Outcome, Server, poll_until};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::crash::points;
use crate::tools::{count_events, no_machine_left};

const WITHIN: Duration = Duration::from_secs(60);

async fn make_workspace(cli: &Cli) -> Result<String> {
    let made = cli.json(&["workspace", "create"]).await?;
    let id = made["workspace"]["id"].as_str();
    Ok(id.with_context(|| made.to_string())?.to_owned())
}

/// Runs a shell script to its end.
async fn sh(cli: &Cli, workspace: &str, script: &str) -> Result<Outcome> {
    cli.run(&["workspace", "exec", workspace, "--", "sh", "-c", script])
        .await
}

/// Starts a shell script and leaves it alone.
async fn leave(cli: &Cli, workspace: &str, script: &str) -> Result<String> {
    let arguments = ["workspace", "exec", workspace, "--detach", "--json", "--"];
    let all: Vec<&str> = arguments.into_iter().chain(["sh", "-c", script]).collect();
    let outcome = cli.run(&all).await?;
    let answer: Value =
        serde_json::from_str(&outcome.stdout).with_context(|| format!("{outcome:?}"))?;
    let id = answer["exec"]["id"].as_str();
    Ok(id.with_context(|| answer.to_string())?.to_owned())
}

async fn exec(server: &Server, id: &str) -> Result<Value> {
    Ok(server.get(&format!("/api/v1/execs/{id}")).await?["exec"].clone())
}

async fn await_exec(
    server: &Server,
    id: &str,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value> {
    poll_until(what, WITHIN, || async {
        let found = exec(server, id).await?;
        Ok(if fits(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_has_this_commands_input_output_and_exit_code() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli).await?;
    let both = sh(&cli, &workspace, "echo out; echo err >&2; pwd; exit 7").await?;
    ensure!(
        (both.code, both.stdout.as_str(), both.stderr.as_str())
            == (7, "out\n/workspace\n", "err\n"),
        "{both:?}"
    );
    let given = cli
        .run(&[
            "workspace",
            "exec",
            &workspace,
            "--cwd",
            "/tmp",
            "--user",
            "nobody",
            "--env",
            "A=b=c",
            "--",
            "sh",
            "-c",
            "echo $A; pwd; id -un",
        ])
        .await?;
    ensure!(given.stdout == "b=c\n/tmp\nnobody\n", "{given:?}");
    let missing = cli
        .run(&["workspace", "exec", &workspace, "--", "nonesuch"])
        .await?;
    ensure!(
        missing.code == 127 && missing.stderr.contains("nonesuch"),
        "{missing:?}"
    );
    let killed = sh(&cli, &workspace, "kill -9 $$").await?;
    ensure!(killed.code == 137, "{killed:?}");
    let none = cli
        .run(&["workspace", "exec", &workspace, "--", "true"])
        .await?;
    ensure!((none.code, none.stdout.as_str()) == (0, ""), "{none:?}");

    // More than fits anywhere between the two, in bytes that are no text.
    let sent: Vec<u8> = (0..9_000_000_u32)
        .flat_map(|n| n.to_le_bytes()[..1].to_vec())
        .collect();
    let mut child = cli
        .command(&["workspace", "exec", &workspace, "--", "cat"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let writing = sent.clone();
    let writer = tokio::spawn(async move { stdin.write_all(&writing).await });
    let echoed = tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await??;
    writer.await??;
    ensure!(
        echoed.status.success(),
        "{}",
        String::from_utf8_lossy(&echoed.stderr)
    );
    ensure!(
        echoed.stdout == sent,
        "{} bytes came back",
        echoed.stdout.len()
    );

    let listed = cli.json(&["workspace", "ps", &workspace]).await?;
    ensure!(
        listed["items"].as_array().map(Vec::len) == Some(6),
        "{listed}"
    );
    ensure!(
        !listed.to_string().contains("b=c"),
        "values are not told: {listed}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_beside_a_parked_run_wakes_the_machine_and_leaves_the_run_waiting() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": {}}))
        .await?;
    let parked = server.await_parked(&run).await?;
    let workspace = parked["workspace_id"]
        .as_str()
        .context("no workspace")?
        .to_owned();
    let beside = sh(
        &cli,
        &workspace,
        "echo here > beside; grep -l '[r]untime.mjs' /proc/[0-9]*/cmdline | wc -l",
    )
    .await?;
    ensure!(
        beside.code == 0 && beside.stdout.trim() != "0",
        "the run is there: {beside:?}"
    );
    ensure!(server.run(&run).await?["status"] == "waiting");
    server.await_parked(&run).await?;
    ensure!(count_events(&server, &run, "wait.resolved").await? == 0);
    let token = server
        .get(&format!("/api/v1/sessions/{session}/outputs/out"))
        .await?["items"][0]["data"]["id"]
        .as_str()
        .context("no token")?
        .to_owned();
    cli.json(&["token", "complete", &token, "--data", "1"])
        .await?;
    let output = server.await_output(&run).await?;
    ensure!(output == json!({"ok": true, "data": 1}), "{output}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exec_goes_on_when_the_server_is_killed_and_when_it_is_told_to_stop() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli).await?;
    for way in ["killed", "told"] {
        let script = "for i in $(seq 60); do echo $i; sleep 0.1; done; exit 4";
        let id = leave(&cli, &workspace, script).await?;
        await_exec(&server, &id, "its first lines", |exec| {
            exec["stdout"]["end"].as_u64() > Some(10)
        })
        .await?;
        // A follower that holds on meanwhile.
        let follower = cli.command(&["exec", "logs", &id, "--follow"]).spawn()?;
        if way == "killed" {
            server.kill()?;
        } else {
            ensure!(server.terminate().await? == 0);
        }
        server.restart(Options::default()).await?;
        let ended = await_exec(&server, &id, "its end", |exec| !exec["ended_at"].is_null()).await?;
        ensure!(
            ended["state"] == "exited" && ended["exit_code"] == 4,
            "{way}: {ended}"
        );
        let wanted: String = (1..=60).map(|i| format!("{i}\n")).collect();
        let followed = tokio::time::timeout(WITHIN, follower.wait_with_output()).await??;
        ensure!(
            String::from_utf8_lossy(&followed.stdout) == wanted,
            "{way}: {followed:?}"
        );
        let read = cli.run(&["exec", "logs", &id]).await?;
        ensure!(read.stdout == wanted, "{way}: {read:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_named_point_of_an_exec_loses_nothing() -> Result<()> {
    let points = points()?;
    for point in points.iter().filter(|point| point.contains("exec")) {
        let mut server = Server::start(Options::default()).await?;
        let cli = server.cli()?;
        let workspace = make_workspace(&cli).await?;
        server.kill()?;
        server
            .restart(Options {
                kill_at: Some(point.clone()),
                ..Options::default()
            })
            .await?;
        let script = "echo once >> said; cat said; exit 3";
        // The server may die before it answers; the key gives the first answer then.
        let body = json!({"command": ["sh", "-c", script]});
        let id = loop {
            let answered = server
                .request(
                    reqwest::Method::POST,
                    &format!("/api/v1/workspaces/{workspace}/execs"),
                )
                .header("Idempotency-Key", "the-exec")
                .json(&body)
                .send()
                .await;
            match answered {
                Ok(answer) => {
                    let answer: Value = answer.json().await?;
                    let id = answer["exec"]["id"].as_str();
                    break id.with_context(|| answer.to_string())?.to_owned();
                }
                Err(_) => {
                    server.await_end(WITHIN).await?;
                    server.restart(Options::default()).await?;
                }
            }
        };
        if server.pid().is_some() {
            server
                .await_end(WITHIN)
                .await
                .with_context(|| format!("{point} was not passed"))?;
            server.restart(Options::default()).await?;
        }
        let ended = await_exec(&server, &id, "its end", |exec| !exec["ended_at"].is_null()).await?;
        ensure!(ended["exit_code"] == 3, "{point}: {ended}");
        let said = cli.run(&["exec", "logs", &id]).await?;
        ensure!(said.stdout == "once\n", "{point}: it ran once: {said:?}");
        ensure!(server.terminate().await? == 0);
        no_machine_left(&server).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_timeouts_and_many_at_once() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli).await?;
    let id = leave(
        &cli,
        &workspace,
        "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.1; done",
    )
    .await?;
    await_exec(&server, &id, "ready", |exec| exec["stdout"]["end"] == 6).await?;
    cli.json(&["exec", "signal", &id, "INT"]).await?;
    let ended = await_exec(&server, &id, "its end", |exec| !exec["ended_at"].is_null()).await?;
    ensure!(ended["exit_code"] == 5, "{ended}");

    // One that ignores the polite signal is ended by the other one.
    let stubborn = cli
        .run(&[
            "workspace",
            "exec",
            &workspace,
            "--timeout",
            "500ms",
            "--",
            "sh",
            "-c",
            "trap '' TERM; echo on; while :; do sleep 0.1; done",
        ])
        .await?;
    ensure!(
        stubborn.code == 124 && stubborn.stdout == "on\n",
        "{stubborn:?}"
    );

    let many: Vec<_> = (0..50)
        .map(|n| {
            let (cli, workspace) = (cli.clone(), workspace.clone());
            tokio::spawn(
                async move { leave(&cli, &workspace, &format!("echo {n}; exit {n}")).await },
            )
        })
        .collect();
    for (n, made) in many.into_iter().enumerate() {
        let id = made.await??;
        let ended = await_exec(&server, &id, "its end", |exec| !exec["ended_at"].is_null()).await?;
        ensure!(ended["exit_code"] == n, "{ended}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_much_output_the_newest_is_kept() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli).await?;
    let id = leave(&cli, &workspace, "head -c 70000000 /dev/zero; echo end").await?;
    let ended = await_exec(&server, &id, "its end", |exec| !exec["ended_at"].is_null()).await?;
    let (start, end) = (
        ended["stdout"]["start"].as_u64(),
        ended["stdout"]["end"].as_u64(),
    );
    let (Some(start), Some(end)) = (start, end) else {
        bail!("{ended}");
    };
    ensure!(
        end == 70_000_004 && (64 << 20..66 << 20).contains(&(end - start)),
        "{ended}"
    );
    let gone = cli.run(&["exec", "logs", &id]).await?;
    ensure!(
        gone.code == 1 && gone.stderr.contains("cursor_expired"),
        "{gone:?}"
    );
    let tail = cli
        .run(&["exec", "logs", &id, "--cursor", &(end - 6).to_string()])
        .await?;
    ensure!(tail.stdout == "\0\0end\n", "{tail:?}");
    Ok(())
}
