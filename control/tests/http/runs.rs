//! Runs: read and cancelled.

use anyhow::Result;
use helmr_domain::Duration;
use serde_json::json;

use crate::fixture::{deployed, import, index, start, upload};
use crate::server::Server;
use crate::worker::Worker;

#[tokio::test]
async fn a_queued_run_says_why_it_is_not_further_and_ends_at_once_when_cancelled() -> Result<()> {
    let server = Server::start().await?;
    {
        // The worker that imported the image is gone afterwards.
        let _worker = Worker::join(&server).await?;
        import(&server, crate::fixture::IMAGE, b"root").await?.ok();
    }
    let bundle = upload(&server, "bundle", b"bundle").await?;
    let body = json!({ "index": index(), "bundle_sha256": bundle });
    server.post("/api/v1/deployments", &body).await?.ok();
    crate::workers::await_disconnected(&server).await?;
    let (session, run) = start(&server, &json!({ "task": "answer", "ttl": "1m" })).await?;
    let path = format!("/api/v1/runs/{run}");
    let seen =
        crate::workers::await_run(&server, &run, |run| run["placement"]["reason"].is_string())
            .await?;
    assert_eq!(
        (&seen["status"], &seen["attempt_number"]),
        (&json!("queued"), &json!(null))
    );
    for _ in 0..2 {
        let answer = server
            .post(
                &format!("{path}/cancel"),
                &json!({ "reason": "not needed" }),
            )
            .await?
            .ok();
        assert_eq!(answer.body["run"]["status"], "cancelled");
    }
    let runs = server
        .get(&format!(
            "/api/v1/runs?session_id={session}&status=cancelled"
        ))
        .await?
        .ok()
        .body;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));

    // One that queues for too long expires.
    let (_, late) = start(&server, &json!({ "task": "answer", "ttl": "1m" })).await?;
    server.clock.advance(Duration::from_secs(60));
    crate::workers::await_run(&server, &late, |run| run["status"] == "expired").await?;
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_not_there_is_not_found_anywhere() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let path = "/api/v1/runs/run_00000000000000000000000000";
    for more in ["", "/events", "/logs"] {
        server
            .get(&format!("{path}{more}"))
            .await?
            .refused(404, "run_not_found");
    }
    server
        .post(&format!("{path}/cancel"), &json!({}))
        .await?
        .refused(404, "run_not_found");
    server
        .get("/api/v1/runs/ses_00000000000000000000000000")
        .await?
        .refused(400, "invalid_path");
    server
        .get("/api/v1/runs?session_id=odd")
        .await?
        .refused(400, "invalid_query");
    let long = json!({ "reason": "x".repeat(2_000) });
    server
        .post(&format!("{path}/cancel"), &long)
        .await?
        .refused(400, "limit_exceeded");
    Ok(())
}

#[tokio::test]
async fn events_go_on_from_a_cursor() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (_, run) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/runs/{run}/events");
    let first = server.get(&format!("{path}?limit=1")).await?.ok().body;
    let cursor = first["next_cursor"].as_str().unwrap_or_default().to_owned();
    assert_eq!(first["items"][0]["cursor"], cursor.as_str());
    let rest = server
        .get(&format!("{path}?cursor={cursor}"))
        .await?
        .ok()
        .body;
    assert!(
        rest["items"]
            .as_array()
            .is_some_and(|items| items.iter().all(|event| event["cursor"] != cursor.as_str())),
        "{rest}"
    );
    server
        .get(&format!("{path}?cursor=odd"))
        .await?
        .refused(400, "invalid_cursor");
    Ok(())
}
