//! Forks, as clients ask for them and a worker makes them.

use anyhow::{Context, Result};
use helmr_api::worker::Assignment;
use helmr_domain::VersionId;
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, start};
use crate::life::{call, run, started};
use crate::server::{START, Server};

fn fork_of(assignment: &Assignment) -> String {
    format!("/api/v1/workspaces/{}/fork", assignment.workspace_id)
}

fn version() -> Value {
    json!({
        "version_id": VersionId::new(START, [7; 10]), "manifest": "files", "size_bytes": 2_000, "changed_bytes": 30,
    })
}

async fn count(server: &Server) -> Result<usize> {
    let list = server.get("/api/v1/workspaces").await?.ok().body;
    Ok(list["items"].as_array().context("no items")?.len())
}

/// The next copy that the worker is told to make.
async fn ordered(deployed: &mut Deployed) -> Result<(Box<Assignment>, Value)> {
    let assignment = deployed
        .worker
        .assigned(|pushed| !pushed.forks.is_empty())
        .await?;
    let order = assignment.forks.first().context("an order")?;
    let made = json!({
        "workspace_id": order.workspace_id, "copy_id": order.materialization_id,
        "checkpoint_id": order.checkpoint_id, "checkpoint_size_bytes": 1_000, "runtime_identity": "scripted-1",
        "version": version(), "timings_ms": { "pause": 1, "capture": 2, "checkpoint": 3 },
    });
    Ok((assignment, made))
}

#[tokio::test]
async fn a_fork_of_a_version_is_there_at_once() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, _, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let files = json!({ "version": version() });
    worker
        .machine(server, &assignment, "version", &files)
        .await?
        .ok();
    let at = fork_of(&assignment);
    let body = json!({ "external_id": "branch", "tags": ["t"], "metadata": { "n": 1 } });
    let key = [("idempotency-key", "once")];
    let first = server.post_with(&at, &body, &key).await?.ok();
    assert_eq!(first.status, 201);
    let (made, fork) = (&first.body["workspace"], &first.body["fork"]);
    assert_eq!(
        (&made["external_id"], &made["tags"]),
        (&json!("branch"), &json!(["t"]))
    );
    assert_eq!(
        (&made["size_bytes"], &made["materialization"]),
        (&json!(2_000), &Value::Null)
    );
    assert_eq!(fork["from_workspace_id"], json!(assignment.workspace_id));
    assert_eq!(fork["from_version_id"], files["version"]["version_id"]);
    assert_eq!(
        (&fork["live"], &fork["memory_copied"]),
        (&json!(false), &json!(false))
    );
    let again = server.post_with(&at, &body, &key).await?.ok();
    assert_eq!(again.body, first.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(count(server).await?, 2);
    for (body, status, code) in [
        (json!({ "external_id": "branch" }), 409, "external_id_taken"),
        (
            json!({ "version_id": VersionId::new(START, [9; 10]) }),
            404,
            "version_not_found",
        ),
        (json!({ "version_id": "wsv_1" }), 400, "invalid_body"),
        (
            json!({ "live": true, "version_id": VersionId::new(START, [7; 10]) }),
            400,
            "invalid_body",
        ),
        (json!({ "colour": "red" }), 400, "unknown_field"),
        (json!({ "tags": vec!["t"; 11] }), 400, "limit_exceeded"),
    ] {
        server.post(&at, &body).await?.refused(status, code);
    }
    server
        .post(
            "/api/v1/workspaces/ws_00000000000000000000000000/fork",
            &json!({}),
        )
        .await?
        .refused(404, "workspace_not_found");
    // It has no machine that could be copied.
    let id = made["id"].as_str().context("an id")?;
    server
        .post(
            &format!("/api/v1/workspaces/{id}/fork"),
            &json!({ "live": true }),
        )
        .await?
        .refused(409, "fork_unavailable");
    Ok(())
}

#[tokio::test]
async fn a_live_fork_answers_once_its_worker_has_made_it() -> Result<()> {
    let mut deployed = deployed().await?;
    let (session, original, assignment) = started(
        &mut deployed,
        &json!({ "task": "answer", "external_id": "mine" }),
    )
    .await?;
    let at = fork_of(&assignment);
    let wait = call(
        1,
        "wait",
        &json!({ "kind": "stream", "stream": "inbox", "blocking": true }),
    );
    deployed
        .worker
        .run(&deployed.server, &assignment, "calls", &wait)
        .await?
        .ok();
    let (router, key) = (deployed.server.router.clone(), deployed.server.key.clone());
    let asked = tokio::spawn(async move { ask(router, &key, &at).await });
    let (assignment, made) = ordered(&mut deployed).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    assert_eq!(count(server).await?, 1, "nothing of it is there");
    for _ in 0..2 {
        worker
            .machine(server, &assignment, "forked", &made)
            .await?
            .ok();
    }
    let (status, answer) = asked.await??;
    assert_eq!(status, 201, "{answer}");
    let fork = &answer["fork"];
    assert_eq!(
        (&fork["live"], &fork["memory_copied"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(fork["secrets_copied"], json!([]));
    let copy = &fork["sessions"][0];
    assert_eq!(
        (&copy["from_session_id"], &copy["from_run_id"]),
        (&json!(session), &json!(original))
    );
    let copied = copy["run_id"].as_str().context("a run")?;
    let copied = run(server, copied).await?;
    assert_eq!(
        (&copied["status"], &copied["placement"]["state"]),
        (&json!("waiting"), &json!("parked"))
    );
    assert_eq!(answer["workspace"]["materialization"]["state"], "parked");
    assert_eq!(run(server, &original).await?["placement"]["state"], "live");
    let settle = json!({ "materialization_id": made["copy_id"] });
    let settled = worker
        .post(server, "/worker/v1/forks/settle", &settle)
        .await?
        .ok();
    assert_eq!(settled.body, json!({ "made": true }));
    Ok(())
}

async fn ask(router: axum::Router, key: &str, path: &str) -> Result<(u16, Value)> {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;
    let request = http::Request::post(path)
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(axum::body::Body::from(json!({ "live": true }).to_string()))?;
    let answer = router.oneshot(request).await?;
    let status = answer.status().as_u16();
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok((status, serde_json::from_slice(&bytes)?))
}

#[tokio::test]
async fn whoever_asked_is_told_that_a_fork_failed_and_nothing_is_left() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, original, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let at = fork_of(&assignment);
    let (router, key) = (deployed.server.router.clone(), deployed.server.key.clone());
    let asked = tokio::spawn(async move { ask(router, &key, &at).await });
    let (assignment, made) = ordered(&mut deployed).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let failed = json!({ "workspace_id": made["workspace_id"], "message": "the disk is full" });
    worker
        .machine(server, &assignment, "fork_failed", &failed)
        .await?
        .ok();
    let (status, answer) = asked.await??;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("fork_failed"))
    );
    let message = answer["error"]["message"].as_str().context("a message")?;
    assert!(message.contains("the disk is full"), "{message}");
    // What was on its way arrives too late.
    worker
        .machine(server, &assignment, "forked", &made)
        .await?
        .refused(409, "invalid_state");
    assert_eq!(count(server).await?, 1);
    assert_eq!(run(server, &original).await?["status"], "running");
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_told_to_stop_is_not_copied() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, original, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let server = &deployed.server;
    server
        .post(&format!("/api/v1/runs/{original}/cancel"), &json!({}))
        .await?
        .ok();
    server
        .post(&fork_of(&assignment), &json!({ "live": true }))
        .await?
        .refused(409, "run_stopping");
    start(server, &json!({ "task": "answer" })).await?;
    Ok(())
}
