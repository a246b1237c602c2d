//! Timers: never early and soon after their time, one by one and all at once, hot and parked, over restarts and clock steps.
//!
//! What is late depends on the host, so the bound is a generous one; how late they were is printed (`--nocapture`).

#![expect(clippy::print_stdout, reason = "figures for whoever asks for them")]

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use helmr_api::http::value::Time;
use helmr_api::worker::{Assignment, Outcome};
use helmr_domain::Duration;
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, deployed_on};
use crate::life::{call, parked, started};
use crate::server::{START, Server};
use crate::worker::Worker;

/// No host is so loaded that a timer takes longer.
const LATEST_MS: i64 = 10_000;
const MINUTE: Duration = Duration::from_secs(60);

/// How late something was, sorted, for people and for the bound.
fn check_late(what: &str, mut late_ms: Vec<i64>) {
    late_ms.sort_unstable();
    let at = |per_cent: usize| late_ms[(late_ms.len() - 1) * per_cent / 100];
    let (first, median, p99, last) = (at(0), at(50), at(99), at(100));
    println!(
        "{what}: {} timers, late by {median} ms (median), {p99} ms (99 %), {last} ms at most",
        late_ms.len()
    );
    assert!(first >= 0, "{what}: one was early by {} ms", -first);
    assert!(last < LATEST_MS, "{what}: one was late by {last} ms");
}

async fn events(server: &Server, run: &str) -> Result<Vec<Value>> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/runs/{run}/events?limit=200{cursor}");
        let mut page = server.get(&path).await?.ok().body;
        let items = page["items"].take();
        found.extend(items.as_array().context("no items")?.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(found),
        }
    }
}

fn millis(time: &Value) -> Result<i64> {
    let Time(time) = serde_json::from_value(time.clone())?;
    Ok(i64::try_from(time.as_unix_millis())?)
}

/// By how much each of a run's timers was late, of those that have been decided, each once.
async fn lateness(server: &Server, run: &str) -> Result<Vec<i64>> {
    let mut due = BTreeMap::new();
    let mut late = Vec::new();
    for event in events(server, run).await? {
        let wait = event["attributes"]["wait_id"].to_string();
        match event["kind"].as_str() {
            Some("wait.created") => {
                due.insert(wait, millis(&event["attributes"]["due_at"])?);
            }
            Some("wait.resolved") => {
                let due = due.remove(&wait).context("decided twice")?;
                late.push(millis(&event["at"])? - due);
            }
            _ => {}
        }
    }
    Ok(late)
}

/// Registers timers that do not block, each for the span that `ms` gives for its number.
async fn arm(
    deployed: &Deployed,
    at: &Assignment,
    count: u64,
    ms: impl Fn(u64) -> u64,
) -> Result<()> {
    for number in 1..=count {
        let args = json!({ "kind": "timer", "duration_ms": ms(number), "blocking": false });
        let call = call(number, "wait", &args);
        deployed
            .worker
            .run(&deployed.server, at, "calls", &call)
            .await?
            .ok();
    }
    Ok(())
}

/// Waits until an assignment carries the outcomes of so many waits.
async fn outcomes(worker: &mut Worker, count: usize) -> Result<()> {
    let all = |pushed: &Assignment| pushed.runs.iter().any(|run| run.outcomes.len() == count);
    worker.assigned(all).await.map(drop)
}

#[tokio::test]
async fn timers_of_a_live_run_fire_soon_after_their_time_and_never_before() -> Result<()> {
    const COUNT: u64 = 300;
    let mut deployed = deployed_on(Server::start_in_real_time().await?).await?;
    let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    // The last ones are armed when the first ones have long been due.
    arm(&deployed, &at, COUNT, |number| number * 7 % 500).await?;
    outcomes(&mut deployed.worker, usize::try_from(COUNT)?).await?;
    let late = lateness(&deployed.server, &run).await?;
    ensure!(late.len() == usize::try_from(COUNT)?, "each fires once");
    check_late("hot", late);
    Ok(())
}

#[tokio::test]
async fn a_thousand_timers_of_one_instant_fire_each_once() -> Result<()> {
    const COUNT: u64 = 1_000;
    let mut deployed = deployed().await?;
    let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    // The clock stands still: all are due at once.
    arm(&deployed, &at, COUNT, |_| 60_000).await?;
    let one_less = Duration::from_millis(59_999);
    deployed.server.clock.advance(one_less);
    let server = &deployed.server;
    assert!(
        lateness(server, &run).await?.is_empty(),
        "none is due a millisecond before"
    );
    let begun = Instant::now();
    deployed.server.clock.advance(Duration::from_millis(1));
    outcomes(&mut deployed.worker, usize::try_from(COUNT)?).await?;
    println!(
        "{COUNT} timers of one instant were told within {} ms",
        begun.elapsed().as_millis()
    );
    let late = lateness(&deployed.server, &run).await?;
    ensure!(late.len() == usize::try_from(COUNT)?, "each fires once");
    check_late("of one instant", late);
    Ok(())
}

/// Has a run wait for a timer and its machine park, as the park of this number.
async fn park(
    server: &Server,
    worker: &Worker,
    at: &Assignment,
    number: u8,
    duration_ms: u64,
) -> Result<()> {
    let args = json!({ "kind": "timer", "duration_ms": duration_ms });
    worker
        .run(server, at, "calls", &call(1, "wait", &args))
        .await?
        .ok();
    for (what, report) in [("parking", json!({})), ("parked", parked(number))] {
        worker.machine(server, at, what, &report).await?.ok();
    }
    Ok(())
}

#[tokio::test]
async fn parked_runs_are_told_soon_after_their_time_and_never_before() -> Result<()> {
    const ROUNDS: u8 = 20;
    let mut deployed = deployed_on(Server::start_in_real_time().await?).await?;
    let mut late = Vec::new();
    for round in 1..=ROUNDS {
        let (_, run, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
        park(&deployed.server, &deployed.worker, &at, round, 250).await?;
        let woken = deployed
            .worker
            .assigned(|pushed| pushed.workspace_id == at.workspace_id && pushed.epoch > at.epoch)
            .await?;
        // When the worker hears of it, which is later than when it is decided.
        let heard = i64::try_from(deployed.server.clock.now().as_unix_millis())?;
        assert_eq!(woken.runs[0].outcomes[0].outcome, Outcome::ok(Value::Null));
        let events = events(&deployed.server, &run).await?;
        let created = events.iter().find(|event| event["kind"] == "wait.created");
        let due = &created.context("the wait was told")?["attributes"]["due_at"];
        late.push(heard - millis(due)?);
        let (server, worker) = (&deployed.server, &deployed.worker);
        worker
            .machine(server, &woken, "live", &json!({}))
            .await?
            .ok();
        let done = json!({ "result": "succeeded", "output": null });
        worker.run(server, &woken, "finished", &done).await?.ok();
        // It makes room for the next.
        for what in ["stopping", "stopped"] {
            worker.machine(server, &woken, what, &json!({})).await?.ok();
        }
    }
    check_late("parked", late);
    Ok(())
}

async fn beat(server: &Server, worker: &Worker) -> Result<()> {
    let free = json!({ "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 });
    let beat = json!({ "free": free, "leases": [], "draining": false });
    let answer = worker.post(server, "/worker/v1/heartbeat", &beat).await?;
    answer.ok();
    Ok(())
}

#[tokio::test]
async fn a_parked_run_is_woken_by_its_timer_over_a_restart_and_a_clock_that_was_set() -> Result<()>
{
    let mut deployed = deployed_on(Server::start_on_file().await?).await?;
    let (_, _, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    park(&deployed.server, &deployed.worker, &at, 1, 60_000).await?;
    let (_, _, later) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    park(&deployed.server, &deployed.worker, &later, 2, 600_000).await?;
    let Deployed {
        server, mut worker, ..
    } = deployed;
    // Half of the span passes, on a day that is set back and forth; the rest of it while no server runs.
    let hour = Duration::from_secs(3_600);
    for wall in [START.before(hour), START.after(hour), START] {
        server.clock.set(wall);
        server.clock.advance(Duration::from_secs(10));
    }
    let server = server.restart(MINUTE).await?;
    // The worker was not heard of for a while: it says that it is there, and comes again.
    beat(&server, &worker).await?;
    worker.reconnect(&server).await?;
    let woken = worker.assigned(|pushed| pushed.epoch > at.epoch).await?;
    assert_eq!(woken.workspace_id, at.workspace_id, "the other is not due");
    assert_eq!(woken.runs[0].outcomes[0].outcome, Outcome::ok(Value::Null));
    // What was not due then is told when it is.
    server.clock.advance(Duration::from_secs(600));
    beat(&server, &worker).await?;
    worker.reconnect(&server).await?;
    let woken = worker
        .assigned(|pushed| pushed.workspace_id == later.workspace_id)
        .await?;
    assert_eq!(woken.runs[0].outcomes[0].outcome, Outcome::ok(Value::Null));
    Ok(())
}
