//! Following with the SDK: it ends by itself, and nothing is missing or told twice, whatever happens to server and reader.

use std::time::Duration;

use anyhow::{Context, Result};
use helmr_e2e::{Options, Program, Server, sdk_program};
use serde_json::{Value, json};

use crate::tools::post_ok;

/// The numbers at `name` of every item.
fn numbers(items: &[Value], name: &str) -> Vec<u64> {
    items
        .iter()
        .map(|item| match &item[name] {
            Value::String(text) => text.parse().unwrap_or_default(),
            number => number.as_u64().unwrap_or_default(),
        })
        .collect()
}

/// From `first` on, each once and in order.
fn counts_from(first: u64, items: &[Value], name: &str) {
    let seen = numbers(items, name);
    let last = first + u64::try_from(seen.len()).unwrap_or_default();
    assert_eq!(seen, (first..last).collect::<Vec<_>>());
}

/// What a run printed to stdout, put together by offset: a gap or a repeat fails.
fn stdout(items: &[Value]) -> Result<String> {
    let mut text = String::new();
    for item in items.iter().filter(|item| item["stream"] == "stdout") {
        assert_eq!(
            item["offset"],
            text.len(),
            "after {} bytes: {item}",
            text.len()
        );
        text += item["data"].as_str().context("no data")?;
    }
    Ok(text)
}

fn lines(records: u64) -> String {
    (1..=records).map(|n| format!("line {n}\n")).collect()
}

fn log_entries(items: &[Value]) -> Vec<u64> {
    let entries = items.iter().filter(|item| item["stream"] == "logger");
    let fields: Vec<Value> = entries.map(|item| item["fields"].clone()).collect();
    numbers(&fields, "n")
}

struct Followers {
    outputs: Program,
    events: Program,
    logs: Program,
}

impl Followers {
    fn of(server: &Server, session: &str, run: &str) -> Result<Self> {
        Ok(Self {
            outputs: server.program("follow.ts", &["outputs", session, "out"])?,
            events: server.program("follow.ts", &["events", run])?,
            logs: server.program("follow.ts", &["logs", run])?,
        })
    }

    /// Reads all to their ends and checks that each told everything once.
    async fn told_everything(self, records: u64, before: &[Value]) -> Result<()> {
        let mut told = before.to_vec();
        told.extend(self.outputs.finish().await?);
        counts_from(1, &told, "sequence");
        assert_eq!(
            told.last().map(|record| &record["sequence"]),
            Some(&json!(records))
        );
        let events = self.events.finish().await?;
        counts_from(1, &events, "cursor");
        let last = events.last().context("no events")?;
        assert_eq!(last["kind"], "run.succeeded", "{events:?}");
        let logs = self.logs.finish().await?;
        assert_eq!(stdout(&logs)?, lines(records));
        assert_eq!(log_entries(&logs), (1..=records).collect::<Vec<_>>());
        Ok(())
    }
}

/// A session's output can grow until the session ends, a run's events and log until the run does.
#[tokio::test(flavor = "multi_thread")]
async fn followers_end_by_themselves_when_nothing_more_can_come() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let payload = json!({"records": 5});
    let (session, run) = server
        .start_session(&json!({"task": "talks", "payload": payload}))
        .await?;
    let followers = Followers::of(&server, &session, &run)?;
    server.await_output(&run).await?;
    post_ok(
        &server,
        &format!("/api/v1/sessions/{session}/close"),
        &json!({}),
    )
    .await?;
    followers.told_everything(5, &[]).await?;
    // Again, now that everything is over.
    Followers::of(&server, &session, &run)?
        .told_everything(5, &[])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn following_goes_on_over_a_killed_server_without_gap_or_repeat() -> Result<()> {
    let mut server = Server::start(Options::default()).await?;
    let records = 120;
    let payload = json!({"records": records, "everyMs": 40});
    let (session, run) = server
        .start_session(&json!({"task": "talks", "payload": payload}))
        .await?;
    let mut followers = Followers::of(&server, &session, &run)?;
    let mut before = Vec::new();
    for until in [20_u64, 60] {
        while before.len() < usize::try_from(until)? {
            before.push(followers.outputs.says().await?.context("ended too soon")?);
        }
        server.kill()?;
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.restart(Options::default()).await?;
    }
    server.await_output(&run).await?;
    post_ok(
        &server,
        &format!("/api/v1/sessions/{session}/close"),
        &json!({}),
    )
    .await?;
    followers.told_everything(records, &before).await
}

/// The reader takes ten records a second while thousands come, so that it misses more hints than the server keeps for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_gets_every_record_once() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let records = 2500_u64;
    let (session, run) = server
        .start_session(&json!({"task": "pours", "payload": {"records": records}}))
        .await?;
    let url = server.url();
    let environment = [
        ("HELMR_API_URL", url.as_str()),
        ("HELMR_API_KEY", server.api_key()),
        ("SLOW_ITEMS", "40"),
    ];
    let arguments = ["outputs", &session, "out"];
    let reader = sdk_program("e2e/programs", "follow.ts", &arguments, &environment)?;
    server.await_output(&run).await?;
    post_ok(
        &server,
        &format!("/api/v1/sessions/{session}/close"),
        &json!({}),
    )
    .await?;
    let told = reader.finish().await?;
    counts_from(1, &told, "sequence");
    let mut data: Vec<u64> = told
        .iter()
        .filter_map(|record| record["data"]["n"].as_u64())
        .collect();
    data.sort_unstable();
    assert_eq!(data, (1..=records).collect::<Vec<_>>());
    Ok(())
}

/// The client's whole surface of sessions, streams, runs and tokens, step by step.
#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_does_what_it_says_of_every_resource() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let steps = server.program("tour.ts", &[])?.finish().await?;
    assert!(steps.len() >= 8, "{steps:?}");
    Ok(())
}
