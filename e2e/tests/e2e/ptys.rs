//! Terminals in a workspace: made, typed in, set aside with their machine and found again.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Cli, Options, Server, poll_until};
use serde_json::{Value, json};

use crate::crash::points;
use crate::tools::{count_events, no_machine_left, post_ok};

const WITHIN: Duration = Duration::from_secs(60);

/// Idle soon, so that no test waits for a minute.
pub(crate) fn soon_idle() -> Options {
    Options {
        pty_idle_after: "300ms",
        ..Options::default()
    }
}

pub(crate) async fn make_workspace(cli: &Cli, auto_stop_after: &str) -> Result<String> {
    let arguments = ["workspace", "create", "--auto-stop-after", auto_stop_after];
    let made = cli.json(&arguments).await?;
    let id = made["workspace"]["id"].as_str();
    Ok(id.with_context(|| made.to_string())?.to_owned())
}

/// Makes a PTY with a shell that says little.
async fn make(server: &Server, workspace: &str) -> Result<String> {
    let body = json!({"command": ["bash", "--norc", "-i"], "env": {"PS1": "$ ", "TERM": "dumb"}});
    let made = post_ok(
        server,
        &format!("/api/v1/workspaces/{workspace}/ptys"),
        &body,
    )
    .await?;
    let id = made["pty"]["id"].as_str();
    Ok(id.with_context(|| made.to_string())?.to_owned())
}

async fn pty(server: &Server, id: &str) -> Result<Value> {
    Ok(server.get(&format!("/api/v1/ptys/{id}")).await?["pty"].clone())
}

pub(crate) async fn await_pty(
    server: &Server,
    id: &str,
    what: &str,
    fits: impl Fn(&Value) -> bool,
) -> Result<Value> {
    poll_until(what, WITHIN, || async {
        let found = pty(server, id).await?;
        Ok(if fits(&found) {
            Ok(found)
        } else {
            Err(found.to_string())
        })
    })
    .await
    .with_context(|| format!("server log:\n{}", server.log_tail()))
}

async fn type_in(server: &Server, id: &str, text: &str) -> Result<()> {
    let path = format!("/api/v1/ptys/{id}/input");
    post_ok(server, &path, &json!({"data": text}))
        .await
        .map(drop)
}

/// Waits until a PTY has shown `text`, and gives all that it has.
async fn await_shown(cli: &Cli, id: &str, text: &str) -> Result<String> {
    poll_until(text, WITHIN, || async {
        let shown = cli.run(&["pty", "output", id]).await?.stdout;
        Ok(if shown.contains(text) {
            Ok(shown)
        } else {
            Err(shown)
        })
    })
    .await
}

pub(crate) async fn await_machine(server: &Server, workspace: &str, state: &str) -> Result<()> {
    poll_until(state, WITHIN, || async {
        let path = format!("/api/v1/workspaces/{workspace}");
        let found = server.get(&path).await?["workspace"]["materialization"].clone();
        Ok(if found["state"] == state {
            Ok(())
        } else {
            Err(found.to_string())
        })
    })
    .await
    .with_context(|| format!("server log:\n{}", server.log_tail()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pty_is_typed_in_resized_listed_and_closed() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "5m").await?;
    let made = cli
        .run(&[
            "pty",
            "create",
            &workspace,
            "--env",
            "SECRET=hidden",
            "--cwd",
            "/tmp",
        ])
        .await?;
    let id = made.stdout.trim().to_owned();
    ensure!(id.starts_with("pty_"), "{made:?}");
    type_in(&server, &id, "echo $0 $SECRET $(pwd) $(stty size)\n").await?;
    await_shown(&cli, &id, "-bash hidden /tmp 24 80").await?;
    cli.json(&["pty", "resize", &id, "100", "30"]).await?;
    type_in(&server, &id, "echo now $(stty size)\n").await?;
    await_shown(&cli, &id, "now 30 100").await?;

    // A write with an offset is given once, however often it comes.
    let end = pty(&server, &id).await?["input"]["end"].clone();
    let body = json!({"data": "echo on''ce\n", "offset": end});
    let path = format!("/api/v1/ptys/{id}/input");
    post_ok(&server, &path, &body).await?;
    post_ok(&server, &path, &body).await?;
    type_in(&server, &id, "echo af''ter\n").await?;
    let shown = await_shown(&cli, &id, "after").await?;
    ensure!(shown.matches("once").count() == 1, "{shown}");
    let (status, refused) = server
        .post(&path, &json!({"data": "x", "offset": 1_000_000}))
        .await?;
    ensure!(
        status == 409 && refused["error"]["code"] == "pty_input_out_of_step",
        "{refused}"
    );

    let listed = cli.json(&["pty", "list", &workspace]).await?;
    ensure!(
        listed["items"].as_array().map(Vec::len) == Some(1),
        "{listed}"
    );
    ensure!(
        !listed.to_string().contains("hidden"),
        "values are not told: {listed}"
    );
    let execs = cli.json(&["workspace", "ps", &workspace]).await?;
    ensure!(execs["items"] == json!([]), "{execs}");

    // What runs in it hears of its end.
    type_in(&server, &id, "sleep 1000\n").await?;
    cli.json(&["pty", "close", &id]).await?;
    let ended = await_pty(&server, &id, "its end", |pty| !pty["ended_at"].is_null()).await?;
    ensure!(ended["closed"] == true, "{ended}");
    let (status, late) = server.post(&path, &json!({"data": "x"})).await?;
    ensure!(
        status == 409 && late["error"]["code"] == "pty_ended",
        "{late}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_by_name() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "5m").await?;
    let make = format!("/api/v1/workspaces/{workspace}/ptys");
    for (body, code) in [
        (json!({"cols": 501}), "limit_exceeded"),
        (json!({"rows": 0}), "limit_exceeded"),
        (json!({"command": []}), "limit_exceeded"),
        (json!({"colums": 80}), "unknown_field"),
        (json!({"env": {"A=": "b"}}), "limit_exceeded"),
    ] {
        let (status, refused) = server.post(&make, &body).await?;
        ensure!(
            status == 400 && refused["error"]["code"] == code,
            "{body}: {refused}"
        );
    }
    let unknown = "/api/v1/ptys/pty_01k2m3n4p5q6r7s8t9v0w1x2y3";
    for (path, body) in [
        (format!("{unknown}/input"), json!({"data": ""})),
        (format!("{unknown}/resize"), json!({"cols": 1, "rows": 1})),
        (format!("{unknown}/close"), json!({})),
    ] {
        let (status, refused) = server.post(&path, &body).await?;
        ensure!(
            status == 404 && refused["error"]["code"] == "pty_not_found",
            "{path}: {refused}"
        );
    }
    let plain = server
        .request(reqwest::Method::GET, &format!("{unknown}/attach"))
        .send()
        .await?;
    ensure!(plain.status() == 404);
    let failed = post_ok(&server, &make, &json!({"command": ["nonesuch"]})).await?;
    let id = failed["pty"]["id"].as_str().context("no id")?;
    let ended = await_pty(&server, id, "its end", |pty| !pty["ended_at"].is_null()).await?;
    ensure!(ended["state"] == "failed", "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_pty_parks_with_its_machine_and_goes_on_when_somebody_types() -> Result<()> {
    let server = Server::start(soon_idle()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "1s").await?;
    let id = make(&server, &workspace).await?;
    type_in(&server, &id, "kept=before; cd /tmp; sleep 1000 &\n").await?;
    await_machine(&server, &workspace, "parked").await?;
    ensure!(pty(&server, &id).await?["idle"] == true);
    // Neither looking nor another size wakes it.
    cli.json(&["pty", "resize", &id, "90", "20"]).await?;
    await_machine(&server, &workspace, "parked").await?;
    type_in(
        &server,
        &id,
        "echo $kept $(pwd) $(jobs -r | wc -l) $(stty size)\n",
    )
    .await?;
    await_shown(&cli, &id, "before /tmp 1 20 90").await?;
    // What is in the foreground keeps it.
    type_in(&server, &id, "cat\n").await?;
    type_in(&server, &id, "in the foreground\n").await?;
    await_shown(&cli, &id, "in the foreground\r\nin the foreground").await?;
    ensure!(pty(&server, &id).await?["idle"] == false);
    type_in(&server, &id, "\u{4}").await?;
    await_machine(&server, &workspace, "parked").await?;
    // Hanging up has to be told to it.
    cli.json(&["pty", "close", &id]).await?;
    await_pty(&server, &id, "its end", |pty| !pty["ended_at"].is_null()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_beside_a_parked_run_wakes_the_machine_and_leaves_the_run_waiting() -> Result<()> {
    let server = Server::start(soon_idle()).await?;
    let cli = server.cli()?;
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": {}}))
        .await?;
    let parked = server.await_parked(&run).await?;
    let workspace = parked["workspace_id"].as_str().context("no workspace")?;
    let id = make(&server, workspace).await?;
    type_in(
        &server,
        &id,
        "mine=1; grep -l '[r]untime.mjs' /proc/[0-9]*/cmdline | wc -l\n",
    )
    .await?;
    await_shown(&cli, &id, "\n1\r\n").await?;
    ensure!(server.run(&run).await?["status"] == "waiting");
    // It parks again with both in it, and typing wakes both.
    server.await_parked(&run).await?;
    await_machine(&server, workspace, "parked").await?;
    type_in(&server, &id, "echo still $mine\n").await?;
    await_shown(&cli, &id, "still 1").await?;
    ensure!(server.run(&run).await?["status"] == "waiting");
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
    type_in(&server, &id, "echo and still $mine\n").await?;
    await_shown(&cli, &id, "and still 1").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pty_goes_on_when_the_server_is_killed_and_when_it_is_told_to_stop() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "5m").await?;
    let id = make(&server, &workspace).await?;
    for way in ["killed", "told"] {
        let begun =
            format!("way={way}; for i in 1 2 3 4 5 6 7 8 9; do echo $way $i; sleep 0.3; done\n");
        type_in(&server, &id, &begun).await?;
        await_shown(&cli, &id, &format!("{way} 1\r\n")).await?;
        if way == "killed" {
            server.kill()?;
        } else {
            ensure!(server.terminate().await? == 0);
        }
        server.restart(Options::default()).await?;
        // One that was busy is woken unasked.
        let shown = await_shown(&cli, &id, &format!("{way} 9\r\n")).await?;
        for i in 1..=9 {
            let line = format!("{way} {i}\r\n");
            ensure!(shown.matches(&line).count() == 1, "{way} {i}: {shown}");
        }
        type_in(&server, &id, "echo then $way\n").await?;
        await_shown(&cli, &id, &format!("then {way}")).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_named_point_of_a_pty_loses_nothing() -> Result<()> {
    let points = points()?;
    for point in points
        .iter()
        .filter(|point| point.contains("pty") || point.contains("exec"))
    {
        let mut server = Server::start(soon_idle()).await?;
        let cli = server.cli()?;
        let workspace = make_workspace(&cli, "1s").await?;
        server.kill()?;
        let options = Options {
            kill_at: Some(point.clone()),
            ..soon_idle()
        };
        server.restart(options).await?;
        let body =
            json!({"command": ["bash", "--norc", "-i"], "env": {"PS1": "$ ", "TERM": "dumb"}});
        // The server may die before it answers; the key gives the first answer then.
        let id = loop {
            let path = format!("/api/v1/workspaces/{workspace}/ptys");
            let answered = server
                .request(reqwest::Method::POST, &path)
                .header("Idempotency-Key", "the-pty")
                .json(&body)
                .send()
                .await;
            match answered {
                Ok(answer) => {
                    let answer: Value = answer.json().await?;
                    let id = answer["pty"]["id"].as_str();
                    break id.with_context(|| answer.to_string())?.to_owned();
                }
                Err(_) => {
                    server.await_end(WITHIN).await?;
                    server.restart(soon_idle()).await?;
                }
            }
        };
        if point.contains("ended") {
            type_in(&server, &id, "exit 3\n").await?;
        }
        server
            .await_end(WITHIN)
            .await
            .with_context(|| format!("{point} was not passed"))?;
        server.restart(soon_idle()).await?;
        if !point.contains("ended") {
            type_in(&server, &id, "echo on''ce >> said; cat said; exit 3\n").await?;
        }
        let ended = await_pty(&server, &id, "its end", |pty| !pty["ended_at"].is_null()).await?;
        ensure!(ended["exit_code"] == 3, "{point}: {ended}");
        if !point.contains("ended") {
            let shown = cli.run(&["pty", "output", &id]).await?.stdout;
            ensure!(shown.matches("once").count() == 1, "{point}: {shown}");
        }
        ensure!(server.terminate().await? == 0);
        no_machine_left(&server).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_with_what_somebody_left_running_parks_instead_of_stopping() -> Result<()> {
    let server = Server::start(soon_idle()).await?;
    let cli = server.cli()?;
    let workspace = make_workspace(&cli, "1s").await?;
    let script = "setsid sh -c 'while :; do sleep 0.1; done' >/dev/null 2>&1 & echo $! > left";
    let exec = ["workspace", "exec", &workspace, "--", "sh", "-c", script];
    ensure!(cli.run(&exec).await?.code == 0);
    await_machine(&server, &workspace, "parked").await?;
    let look = [
        "workspace",
        "exec",
        &workspace,
        "--",
        "sh",
        "-c",
        "kill $(cat left) && echo lived",
    ];
    let lived = cli.run(&look).await?;
    ensure!(lived.stdout == "lived\n", "{lived:?}");
    // Without it the machine stops.
    await_machine(&server, &workspace, "stopped").await?;
    Ok(())
}
