//! Following by server-sent events: no gap, no repeat, and an end.

use anyhow::{Context, Result};
use axum::body::Body;
use http::Method;
use serde_json::json;

use crate::fixture::{deployed, start};
use crate::following::Following;
use crate::server::PATIENCE;

#[tokio::test]
async fn records_are_followed_as_they_come_and_resumed_where_they_stopped() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let send = async |at: u32| {
        let body = json!({ "data": { "text": "t", "at": at } });
        server
            .post(&path, &body)
            .await
            .map(crate::server::Answer::ok)
    };
    send(1).await?;
    let mut following = Following::open(server, &path, None).await?;
    let first = following.next().await?;
    assert_eq!(
        (first.id.as_deref(), &first.data["data"]["at"]),
        (Some("1"), &json!(1))
    );
    for at in 2..=60 {
        send(at).await?;
    }
    for at in 2..=60_u32 {
        let event = following.next().await?;
        assert_eq!(event.id, Some(at.to_string()));
        assert_eq!(event.data["data"]["at"], at);
    }
    drop(following);
    let mut resumed = Following::open(server, &format!("{path}?cursor=1"), Some("59")).await?;
    assert_eq!(resumed.next().await?.id.as_deref(), Some("60"));

    // The session's end is the stream's.
    let mut worker = deployed.worker;
    let assignment = worker.assigned(|pushed| !pushed.runs.is_empty()).await?;
    worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    worker
        .run(server, &assignment, "started", &json!({}))
        .await?
        .ok();
    let done = json!({ "result": "succeeded", "output": null });
    worker
        .run(server, &assignment, "finished", &done)
        .await?
        .ok();
    server
        .post(&format!("/api/v1/sessions/{session}/close"), &json!({}))
        .await?
        .ok();
    let end = resumed.next().await?;
    assert_eq!(end.name.as_deref(), Some("end"));
    resumed.ended().await
}

#[tokio::test]
async fn events_of_a_run_are_followed_to_its_end() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run) = start(&deployed.server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/runs/{run}/events");
    let mut following = Following::open(&deployed.server, &path, None).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    worker
        .run(server, &assignment, "started", &json!({}))
        .await?
        .ok();
    let mut logs = Following::open(server, &format!("/api/v1/runs/{run}/logs"), None).await?;
    let output = json!({ "segments": [{ "stream": "stdout", "offset": 0, "data": "aGVsbG8K" }], "entries": [] });
    worker
        .run(server, &assignment, "output", &output)
        .await?
        .ok();
    let printed = logs.next().await?;
    assert_eq!(
        (&printed.data["stream"], &printed.data["data"]),
        (&json!("stdout"), &json!("hello\n"))
    );
    let done = json!({ "result": "succeeded", "output": null });
    worker
        .run(server, &assignment, "finished", &done)
        .await?
        .ok();

    let (mut kinds, mut ids) = (Vec::new(), Vec::new());
    loop {
        let event = following.next().await?;
        if event.name.as_deref() == Some("end") {
            break;
        }
        ids.push(event.id.context("no id")?.parse::<u64>()?);
        kinds.push(event.data["kind"].as_str().unwrap_or_default().to_owned());
    }
    let expected: Vec<u64> = (1..).take(ids.len()).collect();
    assert_eq!(ids, expected, "no gap and no repeat");
    assert!(
        kinds.iter().any(|kind| kind == "run.succeeded"),
        "{kinds:?}"
    );
    following.ended().await?;
    assert_eq!(logs.next().await?.name.as_deref(), Some("end"));
    Ok(())
}

#[tokio::test]
async fn followers_end_with_the_server() -> Result<()> {
    let deployed = deployed().await?;
    let (session, _) = start(&deployed.server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/outputs/out");
    let mut following = Following::open(&deployed.server, &path, None).await?;
    tokio::time::timeout(PATIENCE, deployed.server.running.shutdown())
        .await
        .context("the server did not end")?;
    following.ended().await
}

#[tokio::test]
async fn an_odd_cursor_is_refused_before_the_stream_begins() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/outputs/out");
    let request = server
        .request(Method::GET, &path)
        .header("accept", "text/event-stream")
        .header("last-event-id", "odd");
    server
        .answer(request.body(Body::empty())?)
        .await?
        .refused(400, "invalid_cursor");
    Ok(())
}
