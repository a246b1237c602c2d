//! Live forks of real machines: memory, files, processes and sessions go on twice.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use helmr_e2e::{Cli, Options, Server, poll_until};
use serde_json::{Value, json};

use crate::crash::points;
use crate::tools::no_machine_left;

const WITHIN: Duration = Duration::from_secs(60);

/// A session and the run in it.
#[derive(Debug, Clone)]
struct Agent {
    session: String,
    run: String,
    workspace: String,
}

fn text(answer: &Value, pointer: &str) -> Result<String> {
    let found = answer.pointer(pointer).and_then(Value::as_str);
    found
        .map(str::to_owned)
        .with_context(|| format!("no {pointer} in {answer}"))
}

async fn start(cli: &Cli, task: &str, payload: Option<&Value>, more: &[&str]) -> Result<Agent> {
    let payload = payload.map(Value::to_string);
    let mut words = vec!["session", "start", task];
    if let Some(payload) = &payload {
        words.extend(["--payload", payload]);
    }
    words.extend(more);
    let started = cli.json(&words).await?;
    Ok(Agent {
        session: text(&started, "/session/id")?,
        run: text(&started, "/run/id")?,
        workspace: text(&started, "/session/workspace_id")?,
    })
}

async fn fork(cli: &Cli, agent: &Agent) -> Result<Agent> {
    let forked = cli
        .json(&["workspace", "fork", &agent.workspace, "--live"])
        .await?;
    ensure!(forked["fork"]["memory_copied"] == true, "{forked}");
    ensure!(
        forked["fork"]["sessions"][0]["from_session_id"] == agent.session,
        "{forked}"
    );
    Ok(Agent {
        session: text(&forked, "/fork/sessions/0/session_id")?,
        run: text(&forked, "/fork/sessions/0/run_id")?,
        workspace: text(&forked, "/workspace/id")?,
    })
}

async fn say(cli: &Cli, agent: &Agent, word: &str) -> Result<()> {
    let data = json!({ "word": word }).to_string();
    cli.json(&["session", "send", &agent.session, "inbox", &data])
        .await
        .map(drop)
}

/// The records that an agent has told, once there are as many.
async fn told(server: &Server, agent: &Agent, count: usize) -> Result<Vec<Value>> {
    poll_until("the records are there", WITHIN, || async {
        let path = format!("/api/v1/sessions/{}/outputs/out?limit=200", agent.session);
        let page = server.get(&path).await?;
        let items = page["items"].as_array().context("no items")?;
        let data: Vec<Value> = items.iter().map(|item| item["data"].clone()).collect();
        Ok(if data.len() >= count {
            Ok(data)
        } else {
            Err(format!("{data:?}"))
        })
    })
    .await
}

async fn until_parked(server: &Server, run: &str) -> Result<()> {
    poll_until("the run parks", WITHIN, || async {
        let found = server.run(run).await?;
        Ok(if found["placement"]["state"] == "parked" {
            Ok(())
        } else {
            Err(found.to_string())
        })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_goes_on_twice_from_the_same_thought() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let agent = start(&cli, "branches", None, &["--external-id", "mind"]).await?;
    say(&cli, &agent, "one").await?;
    let before = told(&server, &agent, 1).await?;
    until_parked(&server, &agent.run).await?;
    let (left, right) = (fork(&cli, &agent).await?, fork(&cli, &agent).await?);
    let all = [&agent, &left, &right];
    for one in all {
        say(&cli, one, "end").await?;
    }
    let mut last = Vec::new();
    for one in all {
        let ended = server.await_end_of(&one.run).await?;
        ensure!(ended["status"] == "succeeded", "{ended}");
        ensure!(ended["output"]["count"] == 2, "{ended}");
        let records = told(&server, one, 2).await?;
        ensure!(
            records[0] == before[0],
            "what was said before came along: {records:?}"
        );
        let record = &records[1];
        ensure!(
            record["kept"] == before[0]["kept"],
            "its memory is the same: {record}"
        );
        let ids = json!({
            "run": one.run, "session": one.session, "workspace": one.workspace,
        });
        ensure!(record["ids"] == ids, "it knows who it is: {record}");
        last.push(record.clone());
        let words = cli
            .run(&[
                "workspace",
                "exec",
                &one.workspace,
                "--",
                "cat",
                "words.txt",
            ])
            .await?;
        ensure!(words.stdout == "one\nend\n", "{words:?}");
    }
    ensure!(last[0]["externalId"] == "mind" && last[1]["externalId"].is_null());
    // No two of them draw alike.
    for at in 0..3 {
        let drawn: BTreeSet<_> = last
            .iter()
            .map(|record| record["drawn"][at].to_string())
            .collect();
        ensure!(drawn.len() == 3, "draw {at}: {last:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_running_has_each_effect_once_in_each_branch() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let payload = json!({ "times": 150, "everyMs": 10 });
    let agent = start(&cli, "counts", Some(&payload), &[]).await?;
    told(&server, &agent, 10).await?;
    let first = fork(&cli, &agent).await?;
    told(&server, &agent, 40).await?;
    let second = fork(&cli, &agent).await?;
    let expected: Vec<Value> = (1..=150).map(|n| json!({ "n": n })).collect();
    for one in [&agent, &first, &second] {
        let ended = server.await_end_of(&one.run).await?;
        ensure!(ended["status"] == "succeeded", "{ended}");
        ensure!(told(&server, one, 150).await? == expected, "{one:?}");
        let log = cli.run(&["run", "logs", &one.run]).await?.stdout;
        ensure!(log.matches("line 150\n").count() == 1, "{log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_the_originals_alone() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let agent = start(&cli, "asks", None, &[]).await?;
    let ids = told(&server, &agent, 1).await?;
    until_parked(&server, &agent.run).await?;
    let branch = fork(&cli, &agent).await?;
    let ended = server.await_end_of(&branch.run).await?;
    for token in ["first", "second"] {
        let outcome = &ended["output"][token];
        ensure!(
            outcome["ok"] == false && outcome["error"]["code"] == "forked",
            "{ended}"
        );
    }
    ensure!(server.run(&agent.run).await?["status"] == "waiting");
    for token in ["first", "second"] {
        let id = text(&ids[0], &format!("/{token}"))?;
        cli.json(&["token", "complete", &id, "--data", "7"]).await?;
    }
    let ended = server.await_end_of(&agent.run).await?;
    ensure!(ended["output"]["second"]["data"] == 7, "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_wakes_both_when_it_is_due() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let agent = start(&cli, "sleeps", Some(&json!({ "ms": 6_000 })), &[]).await?;
    until_parked(&server, &agent.run).await?;
    let branch = fork(&cli, &agent).await?;
    for one in [&agent, &branch] {
        let ended = server.await_end_of(&one.run).await?;
        let slept = ended["output"]["slept"].as_u64().context("no time")?;
        ensure!((6_000..12_000).contains(&slept), "{ended}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_of_files_begins_with_them_and_goes_its_own_way() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let agent = start(&cli, "branches", None, &[]).await?;
    say(&cli, &agent, "end").await?;
    server.await_end_of(&agent.run).await?;
    cli.json(&["workspace", "stop", &agent.workspace]).await?;
    poll_until("its files are captured", WITHIN, || async {
        let found = server
            .get(&format!("/api/v1/workspaces/{}", agent.workspace))
            .await?;
        Ok(
            if found["workspace"]["materialization"]["state"] == "stopped" {
                Ok(())
            } else {
                Err(found.to_string())
            },
        )
    })
    .await?;
    let forked = cli
        .json(&["workspace", "fork", &agent.workspace, "--external-id", "b"])
        .await?;
    let id = text(&forked, "/workspace/id")?;
    ensure!(forked["fork"]["memory_copied"] == false, "{forked}");
    let connected = cli.json(&["workspace", "connect", &id]).await?;
    ensure!(connected["workspace"]["materialization"]["state"] == "live");
    for (workspace, script, expected) in [
        (&id, "cat words.txt; echo mine > words.txt", "end\n"),
        (&id, "cat words.txt", "mine\n"),
        (&agent.workspace, "cat words.txt", "end\n"),
    ] {
        let outcome = cli
            .run(&["workspace", "exec", workspace, "--", "sh", "-c", script])
            .await?;
        ensure!(outcome.stdout == expected, "{outcome:?}");
    }
    Ok(())
}

/// SIGKILL of the server at each named point of a fork: the original goes on, and the fork is there whole or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_point_of_a_fork_leaves_no_half_of_one() -> Result<()> {
    let mut points = points()?;
    points.retain(|point| point.contains("fork"));
    ensure!(points.len() >= 6, "only {points:?}");
    let mut failures = Vec::new();
    for point in &points {
        if let Err(error) = survives(point).await {
            failures.push(format!("{point}: {error:#}"));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    Ok(())
}

async fn survives(point: &str) -> Result<()> {
    // One is passed only while another kill is cleaned up.
    let after_settle = point.ends_with("after_settle");
    let first = if after_settle {
        "worker.fork.after_checkpoint"
    } else {
        point
    };
    let mut server = Server::start(Options::default()).await?;
    server.kill()?;
    let armed = |point: &str| Options {
        kill_at: Some(point.to_owned()),
        ..Options::default()
    };
    server.restart(armed(first)).await?;
    let cli = server.cli()?;
    let agent = start(&cli, "branches", None, &[]).await?;
    until_parked(&server, &agent.run).await?;
    let asked = cli
        .run(&["workspace", "fork", &agent.workspace, "--live", "--json"])
        .await?;
    server.await_end(Duration::from_secs(20)).await?;
    if after_settle {
        // It ends while it starts.
        drop(server.restart(armed(point)).await);
        server.await_end(Duration::from_secs(20)).await?;
    }
    server.restart(Options::default()).await?;
    // Whoever asked may have heard nothing; the wish holds.
    let copy = poll_until("the fork is there", WITHIN, || async {
        let list = server.get("/api/v1/sessions?limit=10").await?;
        let items = list["items"].as_array().context("no items")?;
        let copies: Vec<&Value> = items
            .iter()
            .filter(|item| item["task"] == "branches" || item["task_id"] == "branches")
            .filter(|item| item["id"] != agent.session)
            .collect();
        match copies.as_slice() {
            [] => Ok(Err(list.to_string())),
            [one] => Ok(Ok((*one).clone())),
            more => bail!("{} copies", more.len()),
        }
    })
    .await
    .with_context(|| format!("{asked:?}; {}", server.log_tail()))?;
    let runs = server
        .get(&format!("/api/v1/sessions/{}/runs", text(&copy, "/id")?))
        .await?;
    let copy = Agent {
        session: text(&copy, "/id")?,
        run: text(&runs, "/items/0/id")?,
        workspace: text(&copy, "/workspace_id")?,
    };
    for one in [&agent, &copy] {
        say(&cli, one, "end").await?;
        let ended = server.await_end_of(&one.run).await?;
        ensure!(ended["output"]["count"] == 1, "{ended}");
        ensure!(told(&server, one, 1).await?[0]["ids"]["run"] == one.run);
    }
    let machines = std::fs::read_dir(server.data_dir().join("worker/machines"))?.count();
    ensure!(machines <= 2, "{machines} machines of two are kept");
    server.terminate().await?;
    no_machine_left(&server).await?;
    Ok(())
}
