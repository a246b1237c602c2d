//! Workers: join, are seen, are lost.

use anyhow::{Context, Result, bail};
use helmr_domain::Duration;
use serde_json::{Value, json};

use crate::fixture::{deployed, start};
use crate::server::{PATIENCE, Server};
use crate::worker::{Worker, post_as, registration};

/// Looks until `look` is satisfied. Nothing is pushed to a test that has no event to wait for.
async fn eventually(
    what: &str,
    server: &Server,
    path: &str,
    look: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let mut last = Value::Null;
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            last = server.get(path).await?.ok().body;
            if look(&last) {
                return Ok::<_, anyhow::Error>(());
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    match found {
        Ok(done) => done.map(|()| last),
        Err(_) => bail!("{what} did not come; last seen: {last}"),
    }
}

pub(crate) async fn await_disconnected(server: &Server) -> Result<()> {
    let gone = |workers: &Value| {
        workers["items"]
            .as_array()
            .is_some_and(|items| items.iter().all(|worker| worker["connected"] == false))
    };
    eventually("the worker's end", server, "/api/v1/workers", gone)
        .await
        .map(drop)
}

pub(crate) async fn await_run(
    server: &Server,
    run: &str,
    look: impl Fn(&Value) -> bool,
) -> Result<Value> {
    let path = format!("/api/v1/runs/{run}");
    let mut answer = eventually("the run's state", server, &path, |answer| {
        look(&answer["run"])
    })
    .await?;
    Ok(answer["run"].take())
}

#[tokio::test]
async fn a_worker_is_listed_with_what_it_says_of_itself() -> Result<()> {
    let server = Server::start().await?;
    let worker = Worker::join(&server).await?;
    let connected = |workers: &Value| workers["items"][0]["connected"] == true;
    let listed = eventually("the connection", &server, "/api/v1/workers", connected).await?;
    let seen = &listed["items"][0];
    assert_eq!(
        (&seen["id"], &seen["name"]),
        (&json!(worker.id), &json!("test"))
    );
    assert_eq!(
        (&seen["drivers"][0]["name"], &seen["capacity"]["slots"]),
        (&json!("scripted"), &json!(64))
    );
    drop(worker);
    await_disconnected(&server).await
}

#[tokio::test]
async fn a_worker_registers_again_with_its_credential() -> Result<()> {
    let server = Server::start().await?;
    let worker = Worker::join(&server).await?;
    let mut body = serde_json::to_value(registration("renamed"))?;
    body["worker_id"] = json!(worker.id);
    let again = worker
        .post(&server, "/worker/v1/register", &body)
        .await?
        .ok()
        .body;
    assert_eq!(
        (&again["worker_id"], &again["credential"]),
        (&json!(worker.id), &Value::Null)
    );
    assert!(again["installation_key"].is_string());
    let mut old = serde_json::to_value(registration("old"))?;
    old["protocols"] = json!([0]);
    worker
        .post(&server, "/worker/v1/register", &old)
        .await?
        .refused(422, "protocol_unsupported");
    let plain = post_as(
        &server,
        &worker.credential,
        "/worker/v1/heartbeat",
        &json!({}),
    )
    .await?;
    plain.refused(400, "invalid_body");
    let request = http::Request::get("/worker/v1/connect")
        .header("authorization", format!("Bearer {}", worker.credential));
    server
        .answer(request.body(axum::body::Body::empty())?)
        .await?
        .refused(400, "upgrade_required");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_connects_again_is_told_everything_again() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run) = start(&deployed.server, &json!({ "task": "answer" })).await?;
    let first = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    deployed.worker.reconnect(&deployed.server).await?;
    let again = deployed
        .worker
        .assigned(|pushed| pushed.workspace_id == first.workspace_id)
        .await?;
    assert_eq!(again.runs[0].run_id.to_string(), run);
    assert_eq!(again.epoch, first.epoch);
    Ok(())
}

#[tokio::test]
async fn work_of_a_worker_that_is_not_heard_of_is_taken_back_after_a_time() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run) = start(&deployed.server, &json!({ "task": "answer" })).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let server = &deployed.server;
    deployed
        .worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    deployed
        .worker
        .run(server, &assignment, "started", &json!({}))
        .await?
        .ok();
    // Leases last two minutes, and no attempt is left.
    server.clock.advance(Duration::from_secs(130));
    let seen = await_run(server, &run, |run| run["status"] == "failed").await?;
    assert_eq!(seen["error"]["kind"], "worker_lost");
    let late = json!({ "result": "succeeded", "output": 1 });
    deployed
        .worker
        .run(server, &assignment, "finished", &late)
        .await?
        .refused(409, "stale_lease");
    let heartbeat = json!({
        "free": { "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 }, "draining": false,
        "leases": [{ "workspace_id": assignment.workspace_id, "epoch": assignment.epoch }],
    });
    let answer = deployed
        .worker
        .post(server, "/worker/v1/heartbeat", &heartbeat)
        .await?
        .ok()
        .body;
    assert_eq!(
        (&answer["renewed"], &answer["lost"]),
        (&json!([]), &json!([assignment.workspace_id]))
    );
    Ok(())
}

#[tokio::test]
async fn a_heartbeat_keeps_a_lease() -> Result<()> {
    let mut deployed = deployed().await?;
    start(&deployed.server, &json!({ "task": "answer" })).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let server = &deployed.server;
    let held = json!([{ "workspace_id": assignment.workspace_id, "epoch": assignment.epoch }]);
    let heartbeat = json!({
        "free": { "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 }, "draining": false, "leases": held,
    });
    for _ in 0..4 {
        server.clock.advance(Duration::from_secs(60));
        let answer = deployed
            .worker
            .post(server, "/worker/v1/heartbeat", &heartbeat)
            .await?
            .ok()
            .body;
        assert_eq!((&answer["renewed"], &answer["lost"]), (&held, &json!([])));
    }
    deployed
        .worker
        .machine(server, &assignment, "live", &json!({}))
        .await?
        .ok();
    Ok(())
}

#[tokio::test]
async fn a_seed_is_kept_for_the_next_machine() -> Result<()> {
    let mut deployed = deployed().await?;
    start(&deployed.server, &json!({ "task": "answer" })).await?;
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let mut of = json!({
        "workspace_id": assignment.workspace_id, "epoch": assignment.epoch,
        "image_digest": assignment.machine.image_digest, "mount_path": "/workspace",
    });
    let none = worker
        .post(server, "/worker/v1/seeds/find", &of)
        .await?
        .ok()
        .body;
    assert_eq!(none["manifest"], Value::Null);
    for manifest in ["first", "second"] {
        let mut put = of.clone();
        put["manifest"] = json!(manifest);
        put["size_bytes"] = json!(1);
        let kept = worker
            .post(server, "/worker/v1/seeds/put", &put)
            .await?
            .ok()
            .body;
        assert_eq!(kept["manifest"], "first");
    }
    let found = worker
        .post(server, "/worker/v1/seeds/find", &of)
        .await?
        .ok()
        .body;
    assert_eq!(found["manifest"], "first");
    of["epoch"] = json!(assignment.epoch + 1);
    worker
        .post(server, "/worker/v1/seeds/find", &of)
        .await?
        .refused(409, "stale_lease");
    Ok(())
}

#[tokio::test]
async fn a_machine_that_cannot_be_made_gives_its_run_back() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, run) = start(&deployed.server, &json!({ "task": "answer" })).await?;
    let first = deployed
        .worker
        .assigned(|pushed| !pushed.runs.is_empty())
        .await?;
    let failed = json!({ "kind": "sandbox_failed", "message": "no", "version": null, "checkpoint_kept": false });
    deployed
        .worker
        .machine(&deployed.server, &first, "failed", &failed)
        .await?
        .ok();
    // It never started: it is dispatched again, after a pause.
    let seen = await_run(&deployed.server, &run, |run| {
        run["status"] == "queued" || run["dispatch_attempts"] == 2
    })
    .await?;
    assert_ne!(seen["status"], "failed", "{seen}");
    deployed.server.clock.advance(Duration::from_secs(60));
    let heartbeat = json!({
        "free": { "cpu_millis": 4_000, "memory_mib": 16_384, "disk_mib": 100_000, "slots": 64 }, "draining": false, "leases": [],
    });
    deployed
        .worker
        .post(&deployed.server, "/worker/v1/heartbeat", &heartbeat)
        .await?
        .ok();
    let again = deployed
        .worker
        .assigned(|pushed| pushed.epoch > first.epoch)
        .await?;
    assert_eq!(
        again.runs.first().context("no run")?.run_id.to_string(),
        run
    );
    Ok(())
}
