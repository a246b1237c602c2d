//! Clocks that are set while runs are under way: spans go on, times of day come and go.

use anyhow::{Context, Result};
use helmr_domain::Duration;
use serde_json::json;

use crate::fixture::{deployed, start};
use crate::life::{call, run, started};
use crate::server::START;
use crate::workers::await_run;

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn an_hour_forward_and_back_ends_nothing_and_takes_no_lease() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, live, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    for wall in [START.after(HOUR), START.before(HOUR)] {
        server.clock.set(wall);
        // The reaper and the timers look, at a time that has not moved much.
        server.clock.advance(Duration::from_secs(6));
        let beat = json!({
            "free": { "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 },
            "leases": [{ "workspace_id": at.workspace_id, "epoch": at.epoch }],
            "draining": false,
        });
        let kept = worker
            .post(server, "/worker/v1/heartbeat", &beat)
            .await?
            .ok()
            .body;
        assert_eq!(kept["lost"], json!([]));
    }
    let seen = run(server, &live).await?;
    assert_eq!(
        (&seen["status"], &seen["cancellation"]),
        (&json!("running"), &json!(null))
    );
    assert!(
        seen["active_seconds"].as_f64().context("active")? < 60.0,
        "{seen}"
    );
    let output = json!({ "result": "succeeded", "output": null });
    worker.run(server, &at, "finished", &output).await?.ok();
    Ok(())
}

#[tokio::test]
async fn a_time_of_day_comes_when_the_clock_shows_it_and_a_span_when_it_has_passed() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, until, at_until) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (_, spans, at_spans) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let due = START.after(HOUR);
    let wait_until = call(
        1,
        "wait",
        &json!({ "kind": "timer", "due_at_ms": due.as_unix_millis() }),
    );
    worker
        .run(server, &at_until, "calls", &wait_until)
        .await?
        .ok();
    let wait_for = call(
        1,
        "wait",
        &json!({ "kind": "timer", "duration_ms": 60_000 }),
    );
    worker
        .run(server, &at_spans, "calls", &wait_for)
        .await?
        .ok();
    let waiting = run(server, &spans).await?;
    let shown = START.after(Duration::from_secs(60)).to_rfc3339();
    assert_eq!(waiting["pending_wait"]["due_at"], json!(shown));

    // A minute, on a day that was set back: the span is over, the time of day is not there.
    server.clock.set(START.before(HOUR));
    server.clock.advance(Duration::from_secs(60));
    await_run(server, &spans, |run| {
        run["pending_wait"]["state"] == "resuming"
    })
    .await?;
    assert_eq!(run(server, &until).await?["pending_wait"]["state"], "hot");
    // Now it is.
    server.clock.set(due);
    await_run(server, &until, |run| {
        run["pending_wait"]["state"] == "resuming"
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_session_expires_when_the_clock_shows_its_time() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let expires_at = START.after(HOUR).to_rfc3339();
    let body = json!({ "task": "answer", "expires_at": expires_at });
    let (_, expired) = start(server, &body).await?;
    server.clock.set(START.after(HOUR));
    await_run(server, &expired, |run| run["status"] == "cancelled").await?;
    let seen = run(server, &expired).await?;
    assert_eq!(seen["cancellation"]["code"], "session_expired");
    // What lies behind the clock that people see is refused.
    server
        .post("/api/v1/sessions", &body)
        .await?
        .refused(400, "limit_exceeded");
    Ok(())
}
