//! Queues, from the declaration to the run.

use anyhow::Result;
use serde_json::json;

use crate::fixture::{deployed, index, start, upload};
use crate::life::run;
use crate::workers::await_run;

#[tokio::test]
async fn a_tasks_queue_bounds_its_runs_by_key_and_says_so() -> Result<()> {
    let mut deployed = deployed().await?;
    let mut index = index();
    index["tasks"][0]["queue"] = json!({
        "name": "deploys", "concurrency_limit": 1, "concurrency_key": "main", "priority": 3,
    });
    let bundle = upload(&deployed.server, "bundle", b"with a queue").await?;
    let body = json!({ "index": index, "bundle_sha256": bundle });
    deployed
        .server
        .post("/api/v1/deployments", &body)
        .await?
        .ok();
    let (server, worker) = (&deployed.server, &mut deployed.worker);

    let (_, first) = start(server, &json!({ "task": "answer" })).await?;
    let at = worker.assigned(|pushed| !pushed.runs.is_empty()).await?;
    let queue = json!({ "name": "deploys", "concurrency_limit": 1, "concurrency_key": "main" });
    let seen = run(server, &first).await?;
    assert_eq!((&seen["queue"], &seen["priority"]), (&queue, &json!(3)));
    let (_, second) = start(server, &json!({ "task": "answer" })).await?;
    let (_, urgent) = start(server, &json!({ "task": "answer", "priority": 9 })).await?;
    for held in [&second, &urgent] {
        let seen = run(server, held).await?;
        assert_eq!(seen["status"], "queued");
        let reason = "queue `deploys` is at its limit of 1 for `main`";
        assert_eq!(seen["placement"]["reason"], reason);
    }
    let elsewhere = json!({ "task": "answer", "concurrency_key": "other" });
    let (_, other) = start(server, &elsewhere).await?;
    await_run(server, &other, |run| run["status"] == "running").await?;

    worker.machine(server, &at, "live", &json!({})).await?.ok();
    worker.run(server, &at, "started", &json!({})).await?.ok();
    let done = json!({ "result": "succeeded", "output": null });
    worker.run(server, &at, "finished", &done).await?.ok();
    await_run(server, &urgent, |run| run["status"] == "running").await?;
    assert_eq!(run(server, &second).await?["status"], "queued");
    server
        .post(
            "/api/v1/sessions",
            &json!({ "task": "answer", "concurrency_key": "" }),
        )
        .await?
        .refused(400, "limit_exceeded");
    Ok(())
}
