//! What happens to runs besides waiting: they are cancelled, fail and are tried again, and follow one another in a session.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use helmr_e2e::{Options, Server, poll_until};
use serde_json::{Value, json};

use crate::tools::{complete, count_events, first_record, post_ok, record, send};

/// The time of an event, in milliseconds of its day.
fn millis(event: &Value) -> Result<i64> {
    let text = event["at"].as_str().context("an event without a time")?;
    let clock = text.split('T').nth(1).context("no clock")?;
    let numbers: Vec<i64> = clock
        .trim_end_matches('Z')
        .split([':', '.'])
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let [hours, minutes, seconds, millis] = numbers[..] else {
        anyhow::bail!("{text} has no milliseconds");
    };
    Ok(((hours * 60 + minutes) * 60 + seconds) * 1000 + millis)
}

async fn cancelled_and_cleaned(server: &Server, how: &str) -> Result<()> {
    let payload = json!({"how": how});
    let (session, run) = server
        .start_session(&json!({"task": "cleans-up", "payload": payload}))
        .await?;
    first_record(server, &session).await?;
    match how {
        "parks" => drop(server.await_parked(&run).await?),
        "hot" => {
            let hot = |run: &Value| run["pending_wait"]["state"] == "hot";
            server.await_run(&run, "the run to wait hot", hot).await?;
        }
        _ => {}
    }
    let reason = json!({"reason": "the ticket was withdrawn"});
    let begun = Instant::now();
    post_ok(server, &format!("/api/v1/runs/{run}/cancel"), &reason).await?;
    // Asking again changes nothing.
    post_ok(server, &format!("/api/v1/runs/{run}/cancel"), &json!({})).await?;
    let ended = server.await_end_of(&run).await?;
    ensure!(ended["status"] == "cancelled", "{how}: {ended}");
    ensure!(
        begun.elapsed() < Duration::from_secs(10),
        "{how}: not by its own hand"
    );
    let told = record(server, &session, 1).await?;
    ensure!(
        told["cleaned"] == "yes" && told["isReason"] == true && told["code"] == "cancelled",
        "{how}: {told}"
    );
    ensure!(told["message"] == reason["reason"], "{how}: {told}");
    let cancellation = &ended["cancellation"];
    ensure!(
        cancellation["code"] == "cancelled" && cancellation["reason"] == reason["reason"],
        "{how}: {ended}"
    );
    for kind in ["run.cancel_requested", "run.cancelled"] {
        ensure!(
            count_events(server, &run, kind).await? == 1,
            "{how}: {kind}"
        );
    }
    // Its session goes on.
    let session = server.get(&format!("/api/v1/sessions/{session}")).await?;
    ensure!(session["session"]["status"] == "open", "{how}: {session}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_cleans_up_whether_it_works_waits_or_is_parked() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    tokio::try_join!(
        cancelled_and_cleaned(&server, "works"),
        cancelled_and_cleaned(&server, "hot"),
        cancelled_and_cleaned(&server, "parks"),
    )?;
    Ok(())
}

async fn killed_after_its_grace(server: &Server) -> Result<()> {
    let (session, run) = server
        .start_session(&json!({"task": "ignores-its-signal"}))
        .await?;
    first_record(server, &session).await?;
    let begun = Instant::now();
    post_ok(server, &format!("/api/v1/runs/{run}/cancel"), &json!({})).await?;
    ensure!(record(server, &session, 1).await? == json!({"heard": true}));
    ensure!(begun.elapsed() < Duration::from_secs(5), "it heard at once");
    let ended = server.await_end_of(&run).await?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    let took = begun.elapsed();
    ensure!(
        (Duration::from_secs(10)..Duration::from_secs(20)).contains(&took),
        "killed after {took:?}"
    );
    Ok(())
}

/// Attempts follow with growing pauses. What one has read stays read, also when the next one was parked in between.
async fn tried_again(server: &Server) -> Result<()> {
    let (session, run) = server
        .start_session(&json!({"task": "tries-again"}))
        .await?;
    for n in [1, 2] {
        ensure!(send(server, &session, &json!({"data": {"n": n}})).await?.0 < 300);
    }
    ensure!(first_record(server, &session).await?["read"] == json!([1, 2]));
    let second =
        |run: &Value| run["attempt_number"] == 2 && run["pending_wait"]["state"] == "parked";
    server
        .await_run(&run, "the second attempt to park", second)
        .await?;
    ensure!(send(server, &session, &json!({"data": {"n": 3}})).await?.0 < 300);
    let output = server.await_output(&run).await?;
    ensure!(output == json!({"attempts": 3}), "{output}");
    for (index, read) in [json!([1, 2]), json!([3]), json!([])]
        .into_iter()
        .enumerate()
    {
        let told = record(server, &session, index).await?;
        let attempt = index + 1;
        let expected = json!({"attempt": attempt, "runAttempt": attempt, "read": read});
        ensure!(told == expected, "{told} is not {expected}");
    }
    let seen = server.run(&run).await?;
    ensure!(seen["attempt_number"] == 3, "{seen}");
    let events = server.events(&run).await?;
    let mut pauses = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if event["kind"] == "run.retry_scheduled" {
            let started = events[index..]
                .iter()
                .find(|event| event["kind"] == "run.started")
                .context("no attempt after it")?;
            pauses.push(millis(started)? - millis(event)?);
        }
    }
    let [first, second] = pauses[..] else {
        anyhow::bail!("{pauses:?} of {events:?}");
    };
    ensure!(first >= 400 && second >= 1200, "{pauses:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ignores_its_signal_is_killed_and_a_failed_one_is_tried_again() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    tokio::try_join!(killed_after_its_grace(&server), tried_again(&server))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn input_to_an_idle_session_starts_a_run_in_the_same_workspace() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let payload = json!({"topic": "tests"});
    let (session, first) = server
        .start_session(&json!({"task": "remembers", "payload": payload}))
        .await?;
    let output = server.await_output(&first).await?;
    ensure!(output["history"] == "start:null\n", "{output}");
    // Two at once: one of them starts the next run, and that run or one after it reads the other.
    let (hello, again) = (
        json!({"data": {"text": "a"}}),
        json!({"data": {"text": "b"}}),
    );
    let (one, other) = tokio::try_join!(
        send(&server, &session, &hello),
        send(&server, &session, &again)
    )?;
    let started: Vec<&str> = [&one.1, &other.1]
        .into_iter()
        .filter_map(|answer| answer["started_run_id"].as_str())
        .collect();
    ensure!(started.len() == 1, "{one:?} {other:?}");
    let runs = poll_until("three runs to succeed", Duration::from_secs(60), || async {
        let list = server
            .get(&format!("/api/v1/runs?session_id={session}"))
            .await?;
        let runs = list["items"].as_array().cloned().unwrap_or_default();
        let done = runs.len() == 3 && runs.iter().all(|run| run["status"] == "succeeded");
        Ok(if done {
            Ok(runs)
        } else {
            Err(list.to_string())
        })
    })
    .await?;
    // Newest first.
    let last = &runs[0];
    ensure!(
        last["reason"] == "input" && runs[1]["id"] == started[0],
        "{runs:?}"
    );
    ensure!(
        runs.iter()
            .all(|run| run["workspace_id"] == last["workspace_id"]),
        "{runs:?}"
    );
    let output = &last["output"];
    ensure!(
        output["payload"] == payload && output["runId"] == last["id"],
        "{output}"
    );
    let history = output["history"].as_str().unwrap_or_default();
    ensure!(
        [
            "start:null\ninput:a\ninput:b\n",
            "start:null\ninput:b\ninput:a\n"
        ]
        .contains(&history),
        "{history}"
    );
    for run in &runs {
        server.check_history(run).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_seen_live_and_kept_over_a_park() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "shows-its-state"}))
        .await?;
    let mut watched = server.program("follow.ts", &["events", &run])?;
    let updated = |event: &Value| event["kind"] == "metadata.updated";
    let token = first_record(&server, &session).await?;
    server.await_parked(&run).await?;
    for _ in 0..4 {
        watched.says_that(updated).await?;
    }
    let seen = server.run(&run).await?;
    let asked = json!({"stage": "asking", "files": 3, "__proto__": {"polluted": true}});
    ensure!(seen["metadata"] == asked, "{seen}");
    ensure!(complete(&server, &token, &json!(true)).await?.0 == 200);
    let output = server.await_output(&run).await?;
    ensure!(output["polluted"] == false, "{output}");
    let done = json!({"stage": "done", "__proto__": {"polluted": true}});
    ensure!(server.run(&run).await?["metadata"] == done);
    let rest = watched.finish().await?;
    ensure!(
        rest.iter().filter(|event| updated(event)).count() == 1,
        "{rest:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_of_four_mebibytes_is_kept_and_one_byte_more_is_refused() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let limit = 4 << 20;
    let start = |bytes: usize| json!({"task": "returns-much", "payload": {"bytes": bytes}});
    let (_, fits) = server.start_session(&start(limit)).await?;
    let output = server.await_output(&fits).await?;
    assert_eq!(output.as_str().map(str::len), Some(limit - 2));
    let (_, over) = server.start_session(&start(limit + 1)).await?;
    let run = server.await_end_of(&over).await?;
    assert_eq!(run["error"]["kind"], "output_invalid", "{}", run["error"]);
    let message = run["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("4194304"), "{message}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_gets_hundreds_of_records_in_order() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let records = 300;
    let (session, run) = server
        .start_session(&json!({"task": "hears", "payload": {"records": records}}))
        .await?;
    first_record(&server, &session).await?;
    for n in 1..=records {
        ensure!(send(&server, &session, &json!({"data": {"n": n}})).await?.0 < 300);
    }
    let output = server.await_output(&run).await?;
    ensure!(
        output["heard"] == json!((1..=records).collect::<Vec<_>>()),
        "{output}"
    );
    Ok(())
}

/// A session's end in time reaches a parked run: it is woken, told why, and cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_is_told_that_its_session_has_expired() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let now = std::process::Command::new("date")
        .args(["-u", "-d", "+4 seconds", "+%Y-%m-%dT%H:%M:%S.%3NZ"])
        .output()?;
    let expires = String::from_utf8(now.stdout)?.trim().to_owned();
    let (session, run) = server
        .start_session(
            &json!({"task": "cleans-up", "payload": {"how": "parks"}, "expires_at": expires}),
        )
        .await?;
    server.await_parked(&run).await?;
    let ended = server.await_end_of(&run).await?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    ensure!(
        ended["cancellation"]["code"] == "session_expired",
        "{ended}"
    );
    let told = record(&server, &session, 1).await?;
    ensure!(
        told["code"] == "session_expired" && told["cleaned"] == "yes",
        "{told}"
    );
    let session = server.get(&format!("/api/v1/sessions/{session}")).await?;
    ensure!(session["session"]["status"] == "expired", "{session}");
    Ok(())
}

/// `on()` keeps its run awake and counts, beside a blocking wait and without a hot window, until it is left.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_listens_stays_awake_beside_a_blocking_wait() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (session, run) = server
        .start_session(&json!({"task": "listens-beside"}))
        .await?;
    let token = first_record(&server, &session).await?;
    for n in 1..=3 {
        ensure!(send(&server, &session, &json!({"data": {"n": n}})).await?.0 < 300);
        let heard = record(&server, &session, n).await?;
        ensure!(heard == json!({"heard": n}), "{heard}");
        if n < 3 {
            ensure!(server.run(&run).await?["status"] == "running");
            ensure!(count_events(&server, &run, "run.parked").await? == 0);
        }
    }
    server.await_parked(&run).await?;
    ensure!(complete(&server, &token, &json!("done")).await?.0 == 200);
    let output = server.await_output(&run).await?;
    let expected = json!({"heard": [1, 2, 3], "answer": {"ok": true, "data": "done"}});
    ensure!(output == expected, "{output}");
    let active = server.run(&run).await?["active_seconds"].as_f64();
    ensure!(active >= Some(0.9), "{active:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_reached_a_run_too_late_is_the_next_runs() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let (session, first) = server
        .start_session(&json!({"task": "ends-unread"}))
        .await?;
    first_record(&server, &session).await?;
    ensure!(send(&server, &session, &json!({"data": {"n": 1}})).await?.0 < 300);
    ensure!(server.await_output(&first).await? == "ended");
    let streams = server
        .get(&format!("/api/v1/sessions/{session}/streams"))
        .await?;
    let inbox = streams["items"]
        .as_array()
        .and_then(|items| items.iter().find(|stream| stream["name"] == "inbox"))
        .context("no inbox")?;
    ensure!(inbox["records"] == 1 && inbox["unread"] == 1, "{inbox}");
    let (_, sent) = send(&server, &session, &json!({"data": {"n": 2}})).await?;
    let next = sent["started_run_id"]
        .as_str()
        .context("no run was started")?;
    ensure!(server.await_output(next).await? == json!([1, 2]));
    Ok(())
}

/// When a run had its worker, and when it gave it back.
async fn span(server: &Server, run: &str) -> Result<(i64, i64)> {
    let events = server.events(run).await?;
    let at = |kind: &str| {
        let event = events.iter().find(|event| event["kind"] == kind);
        millis(event.with_context(|| format!("no {kind} in {events:?}"))?)
    };
    Ok((at("run.leased")?, at("run.succeeded")?))
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_of_a_queue_take_turns_and_one_that_cannot_wait_expires() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let start =
        |name: &str, ms: u64| json!({"task": "queues", "payload": {"name": name, "ms": ms}});
    let (_, first) = server.start_session(&start("first", 1500)).await?;
    let leased = |run: &Value| run["status"] == "running";
    server.await_run(&first, "the first to run", leased).await?;
    let (_, low) = server.start_session(&start("low", 300)).await?;
    let mut urgent = start("high", 300);
    urgent["priority"] = json!(5);
    let (_, high) = server.start_session(&urgent).await?;
    let mut hasty = start("hasty", 0);
    hasty["ttl"] = json!("200ms");
    let (_, hasty) = server.start_session(&hasty).await?;
    let mut other = start("other", 0);
    other["concurrency_key"] = json!("elsewhere");
    let (_, other) = server.start_session(&other).await?;

    let waiting = server.run(&low).await?;
    let reason = waiting["placement"]["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("single"), "{waiting}");
    // Another key is another queue.
    ensure!(server.await_output(&other).await? == "other");
    let expired = server.await_end_of(&hasty).await?;
    ensure!(expired["status"] == "expired", "{expired}");
    for (run, name) in [(&first, "first"), (&high, "high"), (&low, "low")] {
        ensure!(server.await_output(run).await? == name);
    }
    let (first, high, low) = (
        span(&server, &first).await?,
        span(&server, &high).await?,
        span(&server, &low).await?,
    );
    ensure!(
        first.1 <= high.0 && high.1 <= low.0,
        "{first:?} {high:?} {low:?}"
    );
    ensure!(span(&server, &other).await?.0 < first.1);
    Ok(())
}
