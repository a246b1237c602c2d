//! Versions made on request, and workspaces that go back to one.

use anyhow::{Context, Result};
use helmr_api::worker::{Assignment, FilesCaptured};
use helmr_domain::{CheckpointId, Duration, VersionId};
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed};
use crate::life::{call, started};
use crate::server::{Answer, START};

/// A run at work in a workspace of its own: its assignment and the workspace's path.
pub(crate) async fn at_work(deployed: &mut Deployed) -> Result<(Box<Assignment>, String)> {
    let (_, _, assignment) = started(deployed, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/workspaces/{}", assignment.workspace_id);
    Ok((assignment, path))
}

pub(crate) fn files(number: u8, manifest: &str) -> Value {
    json!({
        "version_id": VersionId::new(START, [number; 10]), "manifest": manifest,
        "size_bytes": 2_000, "changed_bytes": 30,
    })
}

/// Ends the run of an assignment and its machine, with files.
pub(crate) async fn end(deployed: &Deployed, of: &Assignment, version: &Value) -> Result<()> {
    let (server, worker) = (&deployed.server, &deployed.worker);
    let body = json!({ "result": "succeeded", "output": null });
    worker.run(server, of, "finished", &body).await?.ok();
    worker
        .machine(server, of, "stopping", &json!({}))
        .await?
        .ok();
    let body = json!({ "version": version });
    worker.machine(server, of, "stopped", &body).await?.ok();
    Ok(())
}

/// A workspace whose machine has stopped: its path and its version's id.
pub(crate) async fn at_rest(deployed: &mut Deployed, manifest: &str) -> Result<(String, String)> {
    let (assignment, path) = at_work(deployed).await?;
    end(deployed, &assignment, &files(7, manifest)).await?;
    let workspace = deployed.server.get(&path).await?.ok();
    Ok((path, workspace.text("/workspace/current_version_id")?))
}

async fn capture(deployed: &Deployed, path: &str, body: &Value) -> Result<Answer> {
    deployed
        .server
        .post(&format!("{path}/versions"), body)
        .await
}

#[tokio::test]
async fn a_live_machine_is_asked_and_the_answer_is_the_version_that_it_made() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, path) = at_work(&mut deployed).await?;
    let key = [("idempotency-key", "once")];
    let body = json!({ "message": "before the rewrite" });
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let at = format!("{path}/versions");
    let asked = server.post_with(&at, &body, &key);
    let played = async {
        let asked = worker
            .assigned(|pushed| !pushed.captures.is_empty())
            .await?;
        let [id] = asked.captures[..] else {
            anyhow::bail!("{:?}", asked.captures)
        };
        let mut version = files(1, "now");
        version["version_id"] = json!(id);
        let report = json!({ "version": version, "asked": [id] });
        worker
            .machine(server, &asked, "version", &report)
            .await?
            .ok();
        Ok(id.to_string())
    };
    let (made, id) = tokio::join!(asked, played);
    let (made, id) = (made?.ok(), id?);
    assert_eq!(
        (made.status.as_u16(), made.text("/version/id")?),
        (201, id.clone())
    );
    assert_eq!(
        (made.text("/version/kind")?, made.text("/version/message")?),
        ("manual".to_owned(), "before the rewrite".to_owned())
    );
    assert_eq!(made.body["version"]["current"], true);
    let again = server.post_with(&at, &body, &key).await?.ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, made.body);
    let other = server.post_with(&at, &json!({}), &key).await?;
    other.refused(409, "idempotency_key_reused");
    Ok(())
}

#[tokio::test]
async fn what_a_lost_machine_was_asked_for_is_refused_with_the_reason() -> Result<()> {
    let mut deployed = deployed().await?;
    let (assignment, path) = at_work(&mut deployed).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let body = json!({});
    let at = format!("{path}/versions");
    let asked = server.post(&at, &body);
    let played = async {
        worker
            .assigned(|pushed| !pushed.captures.is_empty())
            .await?;
        let report = json!({ "kind": "machine_died", "message": "m", "version": null, "checkpoint_kept": false });
        worker
            .machine(server, &assignment, "failed", &report)
            .await?
            .ok();
        anyhow::Ok(())
    };
    let (refused, played) = tokio::join!(asked, played);
    played?;
    refused?.refused(409, "capture_failed");
    Ok(())
}

#[tokio::test]
async fn a_stopped_workspace_is_captured_where_it_lies() -> Result<()> {
    let mut deployed = deployed().await?;
    let (path, last) = at_rest(&mut deployed, "rest").await?;
    deployed.server.clock.advance(Duration::from_millis(1));
    let made = capture(&deployed, &path, &json!({})).await?.ok();
    assert_eq!(made.text("/version/parent_id")?, last);
    assert_eq!(made.body["version"]["changed_bytes"], 0);
    let workspace = deployed.server.get(&path).await?.ok().body;
    assert_eq!(
        workspace["workspace"]["materialization"]["state"],
        "stopped"
    );
    for (body, status, code) in [
        (json!({ "message": "" }), 400, "limit_exceeded"),
        (
            json!({ "message": "x".repeat(2_001) }),
            400,
            "limit_exceeded",
        ),
        (json!({ "text": "x" }), 400, "unknown_field"),
    ] {
        capture(&deployed, &path, &body)
            .await?
            .refused(status, code);
    }
    let unknown = "/api/v1/workspaces/ws_00000000000000000000000000";
    capture(&deployed, unknown, &json!({}))
        .await?
        .refused(404, "workspace_not_found");
    let made = deployed
        .server
        .post("/api/v1/workspaces", &json!({}))
        .await?
        .ok();
    let empty = format!("/api/v1/workspaces/{}", made.text("/workspace/id")?);
    capture(&deployed, &empty, &json!({}))
        .await?
        .refused(409, "workspace_empty");
    Ok(())
}

#[tokio::test]
async fn a_parked_workspace_is_captured_as_its_worker_finds_it() -> Result<()> {
    let mut deployed = deployed().await?;
    let (assignment, path) = at_work(&mut deployed).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let wait = call(1, "wait", &json!({ "kind": "stream", "stream": "inbox" }));
    worker.run(server, &assignment, "calls", &wait).await?.ok();
    worker
        .machine(server, &assignment, "parking", &json!({}))
        .await?
        .ok();
    let parked = json!({
        "checkpoint_id": CheckpointId::new(START, [3; 10]), "checkpoint_size_bytes": 1_000,
        "runtime_identity": "scripted-1", "version": files(3, "parked"), "draining": false,
        "timings_ms": { "pause": 1, "capture": 1, "checkpoint": 1 },
    });
    worker
        .machine(server, &assignment, "parked", &parked)
        .await?
        .ok();
    let edited = |edited, manifest: &str| FilesCaptured {
        manifest: manifest.to_owned(),
        size_bytes: 4_000,
        changed_bytes: 40,
        edited,
    };
    for (found, size, changed) in [
        (None, 2_000, 0),
        (Some(edited(false, "parked")), 2_000, 0),
        (Some(edited(true, "edited")), 4_000, 40),
    ] {
        server.clock.advance(Duration::from_millis(1));
        *worker
            .files
            .lock()
            .map_err(|_| anyhow::anyhow!("poisoned"))? = found;
        let made = capture(&deployed, &path, &json!({})).await?.ok().body;
        assert_eq!(
            (
                &made["version"]["size_bytes"],
                &made["version"]["changed_bytes"]
            ),
            (&json!(size), &json!(changed))
        );
        let workspace = server.get(&path).await?.ok().body;
        assert_eq!(workspace["workspace"]["materialization"]["state"], "parked");
    }
    Ok(())
}

#[tokio::test]
async fn a_workspace_goes_back_to_a_version_and_its_machine_gives_way() -> Result<()> {
    let mut deployed = deployed().await?;
    let (path, first) = at_rest(&mut deployed, "first").await?;
    let id = path.rsplit('/').next().context("no id")?.to_owned();
    let body = json!({ "task": "answer", "workspace_id": id });
    deployed.server.clock.advance(Duration::from_millis(1));
    let (_, run, assignment) = started(&mut deployed, &body).await?;
    let (server, worker) = (&deployed.server, &mut deployed.worker);
    let at = format!("{path}/restore");
    let refused = server.post(&at, &json!({ "version_id": first })).await?;
    assert_eq!(
        refused.refused(409, "workspace_busy")["run_ids"],
        json!([run])
    );
    let body = json!({ "version_id": first, "message": "back", "force": true });
    let key = [("idempotency-key", "once")];
    let restored = server.post_with(&at, &body, &key).await?.ok();
    assert_eq!(restored.status.as_u16(), 201);
    let version = &restored.body["version"];
    assert_eq!(
        (
            &version["kind"],
            &version["message"],
            &version["parent_id"],
            &version["current"]
        ),
        (
            &json!("restore"),
            &json!("back"),
            &json!(first),
            &json!(true)
        )
    );
    assert_eq!(
        restored.body["workspace"]["current_version_id"],
        version["id"]
    );
    assert_eq!(
        restored.body["workspace"]["materialization"]["stop_requested"],
        true
    );
    let again = server.post_with(&at, &body, &key).await?.ok();
    assert_eq!(again.body, restored.body);
    let stop = worker
        .assigned(|pushed| pushed.runs.iter().any(|run| run.stop.is_some()))
        .await?;
    let stopped = json!({ "result": "stopped", "exit_code": null });
    worker.run(server, &stop, "finished", &stopped).await?.ok();
    worker
        .machine(server, &assignment, "stopping", &json!({}))
        .await?
        .ok();
    let last = json!({ "version": files(9, "last") });
    worker
        .machine(server, &assignment, "stopped", &last)
        .await?
        .ok();
    let workspace = server.get(&path).await?.ok().body;
    assert_eq!(workspace["workspace"]["current_version_id"], version["id"]);
    let versions = server.get(&format!("{path}/versions")).await?.ok().body;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(3));
    for (body, status, code) in [
        (json!({}), 400, "invalid_body"),
        (
            json!({ "version_id": "wsv_00000000000000000000000000" }),
            404,
            "version_not_found",
        ),
        (
            json!({ "version_id": first, "wait": true }),
            400,
            "unknown_field",
        ),
    ] {
        server.post(&at, &body).await?.refused(status, code);
    }
    Ok(())
}
