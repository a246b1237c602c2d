//! What outlives the process.

use anyhow::Result;
use helmr_domain::Duration;
use serde_json::json;

use crate::fixture::{IMAGE, import, index, start, upload};
use crate::server::Server;
use crate::worker::Worker;

#[tokio::test]
async fn keys_sessions_and_credentials_outlive_the_process() -> Result<()> {
    let server = Server::start_on_file().await?;
    assert!(server.running.is_first_start());
    let token = server.post("/api/v1/tokens", &json!({})).await?.ok();
    let (id, public) = (
        token.text("/token/id")?,
        token.text("/token/public_access_token")?,
    );
    let key = server.key.clone();

    let server = server.restart(Duration::from_secs(60)).await?;
    assert!(!server.running.is_first_start());
    assert_eq!(server.key, key);
    let path = format!("/api/v1/tokens/{id}/complete");
    let request = http::Request::post(&path)
        .header("authorization", format!("Bearer {public}"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"data\": 1}"))?;
    server.answer(request).await?.ok();
    let again = server.post(&path, &json!({ "data": 1 })).await?.ok();
    assert_eq!(again.body["already_completed"], true);
    Ok(())
}

#[tokio::test]
async fn a_worker_keeps_its_machines_however_long_no_control_plane_ran() -> Result<()> {
    let server = Server::start_on_file().await?;
    let mut worker = Worker::join(&server).await?;
    import(&server, IMAGE, b"root").await?.ok();
    let bundle = upload(&server, "bundle", b"bundle").await?;
    let body = json!({ "index": index(), "bundle_sha256": bundle });
    server.post("/api/v1/deployments", &body).await?.ok();
    let (_, run) = start(&server, &json!({ "task": "answer" })).await?;
    let assignment = worker.assigned(|pushed| !pushed.runs.is_empty()).await?;
    worker
        .machine(&server, &assignment, "live", &json!({}))
        .await?
        .ok();
    worker
        .run(&server, &assignment, "started", &json!({}))
        .await?
        .ok();

    // Longer than a lease, shorter than what the run may take.
    let server = server.restart(Duration::from_secs(600)).await?;
    worker.reconnect(&server).await?;
    let held = json!([{ "workspace_id": assignment.workspace_id, "epoch": assignment.epoch }]);
    let heartbeat = json!({
        "free": { "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 }, "draining": false, "leases": held,
    });
    let answer = worker
        .post(&server, "/worker/v1/heartbeat", &heartbeat)
        .await?
        .ok()
        .body;
    assert_eq!((&answer["renewed"], &answer["lost"]), (&held, &json!([])));
    let again = worker.assigned(|pushed| !pushed.runs.is_empty()).await?;
    assert_eq!(
        (again.epoch, again.runs[0].started),
        (assignment.epoch, true)
    );
    let done = json!({ "result": "succeeded", "output": 7 });
    worker.run(&server, &again, "finished", &done).await?.ok();
    let seen = server.get(&format!("/api/v1/runs/{run}")).await?.ok().body;
    assert_eq!(
        (&seen["run"]["status"], &seen["run"]["output"]),
        (&json!("succeeded"), &json!(7))
    );
    Ok(())
}
