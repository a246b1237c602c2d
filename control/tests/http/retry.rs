//! Runs that are started again, and what those who end them say.

use anyhow::Result;
use serde_json::json;

use crate::fixture::{deployed, start};
use crate::life::{kinds, run, started};

#[tokio::test]
async fn a_finished_run_is_started_again_once_for_a_key() -> Result<()> {
    let mut deployed = deployed().await?;
    let body = json!({ "task": "echo", "payload": { "text": "hi" } });
    let (session, first, at) = started(&mut deployed, &body).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let path = format!("/api/v1/runs/{first}/retry");
    server
        .post(&path, &json!({}))
        .await?
        .refused(409, "run_not_finished");
    let failed = json!({ "result": "failed", "kind": "task_error", "name": null, "message": "m",
        "stack": null, "exit_code": 1 });
    worker.run(server, &at, "finished", &failed).await?.ok();
    let key = [("idempotency-key", "again")];
    let answer = server.post_with(&path, &json!({}), &key).await?.ok();
    assert_eq!(answer.status.as_u16(), 201);
    let second = answer.text("/run/id")?;
    let retried = run(server, &second).await?;
    assert_eq!(
        (
            &retried["number"],
            &retried["reason"],
            &retried["session_id"],
            &retried["payload"]
        ),
        (
            &json!(2),
            &json!("retry"),
            &json!(session),
            &json!({ "text": "hi" })
        )
    );
    // The same request, the same run; another run under the key is another request.
    let again = server.post_with(&path, &json!({}), &key).await?.ok();
    assert_eq!(again.text("/run/id")?, second);
    let other = format!("/api/v1/runs/{second}/retry");
    server
        .post_with(&other, &json!({}), &key)
        .await?
        .refused(409, "idempotency_key_reused");
    server
        .post(&path, &json!({}))
        .await?
        .refused(409, "session_run_active");
    server
        .post(
            "/api/v1/runs/run_00000000000000000000000000/retry",
            &json!({}),
        )
        .await?
        .refused(404, "run_not_found");
    server
        .post(&path, &json!({ "odd": 1 }))
        .await?
        .refused(400, "unknown_field");
    server
        .post(&format!("/api/v1/runs/{second}/cancel"), &json!({}))
        .await?
        .ok();
    server
        .post(&format!("/api/v1/sessions/{session}/close"), &json!({}))
        .await?
        .ok();
    server
        .post(&path, &json!({}))
        .await?
        .refused(409, "session_ended");
    Ok(())
}

#[tokio::test]
async fn the_reason_of_a_cancel_reaches_the_task_the_run_and_its_events() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, id, at) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let said = json!({ "reason": "superseded by another" });
    let path = format!("/api/v1/runs/{id}/cancel");
    server.post(&path, &said).await?.ok();
    let told = worker
        .assigned(|pushed| pushed.runs.iter().any(|run| run.stop.is_some()))
        .await?;
    let stop = told.runs[0]
        .stop
        .clone()
        .unwrap_or_else(|| panic!("no stop"));
    assert_eq!(
        (stop.reason.as_str(), stop.message.as_str()),
        ("cancelled", "superseded by another")
    );
    assert!((9_000..=10_000).contains(&stop.kill_in_ms), "{stop:?}");
    let seen = run(server, &id).await?;
    assert_eq!(seen["status"], "running");
    assert_eq!(seen["cancellation"]["reason"], "superseded by another");
    worker
        .run(
            server,
            &at,
            "finished",
            &json!({ "result": "stopped", "exit_code": 1 }),
        )
        .await?
        .ok();
    let seen = run(server, &id).await?;
    assert_eq!(
        (
            &seen["status"],
            &seen["cancellation"]["code"],
            &seen["cancellation"]["reason"]
        ),
        (
            &json!("cancelled"),
            &json!("cancelled"),
            &json!("superseded by another")
        )
    );
    let told = kinds(server, &id).await?;
    assert_eq!(told.last().map(String::as_str), Some("run.cancelled"));
    Ok(())
}

#[tokio::test]
async fn a_cancelled_session_is_the_reason_of_its_run() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, id) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/cancel");
    server
        .post(&path, &json!({ "reason": "the thread is closed" }))
        .await?
        .ok();
    let seen = run(server, &id).await?;
    assert_eq!(
        (
            &seen["cancellation"]["code"],
            &seen["cancellation"]["reason"]
        ),
        (&json!("session_cancelled"), &json!("the thread is closed"))
    );
    Ok(())
}

#[tokio::test]
async fn runs_are_listed_by_their_task() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (_, answer) = start(server, &json!({ "task": "answer" })).await?;
    start(
        server,
        &json!({ "task": "echo", "payload": { "text": "hi" } }),
    )
    .await?;
    let found = server.get("/api/v1/runs?task=answer").await?.ok().body;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["items"][0]["id"], json!(answer));
    Ok(())
}
