//! Runs that are told to stop: whether they work, wait or are parked, they hear why, clean up, or are killed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use helmr_e2e::{Options, Server};
use serde_json::{Value, json};

use crate::tools::{count_events, first_record, post_ok, record};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_ignores_its_signal_is_killed_after_its_grace() -> Result<()> {
    let server = &Server::start(Options::default()).await?;
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

/// A session's end in time reaches a parked run: it is woken, told why, and cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn a_parked_run_is_told_that_its_session_has_expired() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let now = std::process::Command::new("date")
        .args(["-u", "-d", "+10 seconds", "+%Y-%m-%dT%H:%M:%S.%3NZ"])
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
