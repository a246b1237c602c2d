//! Workspaces: made, listed, changed, stopped, deleted and recovered, and their versions.

use anyhow::{Context, Result};
use helmr_api::worker::{Assignment, Want};
use helmr_domain::{Duration, VersionId};
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, start};
use crate::life::{run, started};
use crate::server::{START, Server};

const WORKSPACES: &str = "/api/v1/workspaces";

async fn make(server: &Server, body: &Value) -> Result<Value> {
    let answer = server.post(WORKSPACES, body).await?.ok();
    assert_eq!(answer.status, 201);
    Ok(answer.body["workspace"].clone())
}

fn path(workspace: &Value) -> Result<String> {
    let id = workspace["id"].as_str().context("no id")?;
    Ok(format!("{WORKSPACES}/{id}"))
}

async fn get(server: &Server, path: &str) -> Result<Value> {
    Ok(server.get(path).await?.ok().body["workspace"].clone())
}

/// The ids of a list.
async fn listed(server: &Server, query: &str) -> Result<Vec<String>> {
    let page = server
        .get(&format!("{WORKSPACES}?{query}"))
        .await?
        .ok()
        .body;
    let items = page["items"].as_array().context("no items")?;
    let ids = items.iter().filter_map(|item| item["id"].as_str());
    Ok(ids.map(str::to_owned).collect())
}

/// Starts `answer` in a workspace and plays its worker up to the first line of the task.
async fn live(deployed: &mut Deployed, workspace: &Value) -> Result<(String, Box<Assignment>)> {
    let body = json!({ "task": "answer", "workspace_id": workspace["id"] });
    let (_, id, assignment) = started(deployed, &body).await?;
    Ok((id, assignment))
}

async fn succeed(deployed: &Deployed, assignment: &Assignment) -> Result<()> {
    let body = json!({ "result": "succeeded", "output": null });
    deployed
        .worker
        .run(&deployed.server, assignment, "finished", &body)
        .await?
        .ok();
    Ok(())
}

async fn stopped(deployed: &Deployed, assignment: &Assignment) -> Result<VersionId> {
    let version_id = VersionId::new(START, [7; 10]);
    let version = json!({
        "version_id": version_id, "manifest": "files", "size_bytes": 2_000, "changed_bytes": 30,
    });
    let (server, worker) = (&deployed.server, &deployed.worker);
    worker
        .machine(server, assignment, "stopping", &json!({}))
        .await?
        .ok();
    worker
        .machine(
            server,
            assignment,
            "stopped",
            &json!({ "version": version }),
        )
        .await?
        .ok();
    Ok(version_id)
}

#[tokio::test]
async fn a_workspace_is_made_before_anything_runs_in_it() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let body = json!({
        "external_id": "repo", "tags": ["a"], "metadata": { "owner": "ada" }, "auto_stop_after": "90s",
    });
    let made = make(server, &body).await?;
    assert_eq!(
        (&made["state"], &made["external_id"]),
        (&json!("active"), &json!("repo"))
    );
    assert_eq!(
        (&made["tags"], &made["metadata"]),
        (&json!(["a"]), &json!({ "owner": "ada" }))
    );
    assert_eq!(made["auto_stop_after"], "1m30s");
    assert_eq!(
        made["sandbox"],
        Value::Null,
        "that of tasks which name none"
    );
    assert_eq!(made["mount_path"], "/workspace");
    assert_eq!(made["deployment_id"], deployed.deployment["id"]);
    assert_eq!(
        (&made["current_version_id"], &made["size_bytes"]),
        (&Value::Null, &json!(0))
    );
    assert_eq!(made["materialization"], Value::Null);
    assert_eq!(get(server, &path(&made)?).await?, made);
    let versions = server
        .get(&format!("{}/versions", path(&made)?))
        .await?
        .ok()
        .body;
    assert_eq!(versions["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn nothing_is_made_on_bad_input() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    for (body, status, code) in [
        (json!({ "sandbox": "none" }), 404, "sandbox_not_found"),
        (json!({ "external_id": "" }), 400, "limit_exceeded"),
        (json!({ "tags": vec!["t"; 11] }), 400, "limit_exceeded"),
        (json!({ "auto_stop_after": "31d" }), 400, "limit_exceeded"),
        (json!({ "auto_stop_after": -1 }), 400, "invalid_body"),
        (json!({ "colour": "red" }), 400, "unknown_field"),
        (
            json!({ "metadata": { "x": "y".repeat(256 << 10) } }),
            413,
            "metadata_too_large",
        ),
    ] {
        let refused = server.post(WORKSPACES, &body).await?;
        refused.refused(status, code);
    }
    assert!(listed(server, "").await?.is_empty());
    let unknown = format!("{WORKSPACES}/ws_00000000000000000000000000");
    server
        .get(&unknown)
        .await?
        .refused(404, "workspace_not_found");
    server
        .delete(&unknown)
        .await?
        .refused(404, "workspace_not_found");
    server
        .patch(&unknown, &json!({}))
        .await?
        .refused(404, "workspace_not_found");
    let versions = format!("{unknown}/versions");
    server
        .get(&versions)
        .await?
        .refused(404, "workspace_not_found");
    server
        .get(&format!("{WORKSPACES}/ses_1"))
        .await?
        .refused(400, "invalid_path");
    server
        .get(&format!("{WORKSPACES}?state=broken"))
        .await?
        .refused(400, "invalid_query");
    Ok(())
}

#[tokio::test]
async fn a_repeated_creation_gives_the_first_answer() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let key = [("Idempotency-Key", "once")];
    let body = json!({ "external_id": "repo" });
    let first = server.post_with(WORKSPACES, &body, &key).await?.ok();
    let again = server.post_with(WORKSPACES, &body, &key).await?.ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!((first.status, &first.body), (again.status, &again.body));
    server
        .post_with(WORKSPACES, &json!({}), &key)
        .await?
        .refused(409, "idempotency_key_reused");
    let refused = server.post(WORKSPACES, &body).await?;
    let details = refused.refused(409, "external_id_taken");
    assert_eq!(details["workspace_id"], first.body["workspace"]["id"]);
    Ok(())
}

#[tokio::test]
async fn workspaces_are_listed_by_tag_state_and_external_id() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let mut ids = Vec::new();
    for body in [
        json!({ "tags": ["a", "b"] }),
        json!({ "tags": ["b"], "external_id": "x" }),
        json!({}),
    ] {
        // The order of ids made within one millisecond is chance.
        server.clock.advance(Duration::from_millis(1));
        let made = make(server, &body).await?;
        ids.push(made["id"].as_str().context("no id")?.to_owned());
    }
    let [first, second, third] = &ids[..] else {
        anyhow::bail!("{ids:?}")
    };
    assert_eq!(
        &listed(server, "").await?,
        &[third.clone(), second.clone(), first.clone()]
    );
    assert_eq!(
        &listed(server, "tag=b").await?,
        &[second.clone(), first.clone()]
    );
    assert_eq!(listed(server, "external_id=x").await?, [second.as_str()]);
    let page = server
        .get(&format!("{WORKSPACES}?tag=b&limit=1"))
        .await?
        .ok()
        .body;
    let cursor = page["next_cursor"].as_str().context("no cursor")?;
    assert_eq!(
        listed(server, &format!("tag=b&cursor={cursor}")).await?,
        [first.as_str()]
    );
    server.delete(&format!("{WORKSPACES}/{second}")).await?.ok();
    assert_eq!(listed(server, "tag=b").await?, [first.as_str()]);
    assert_eq!(listed(server, "state=deleted").await?, [second.as_str()]);
    assert_eq!(listed(server, "state=active").await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn what_is_absent_from_a_change_stays_and_null_takes_it_away() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let body = json!({ "external_id": "repo", "tags": ["a"], "auto_stop_after": "1h" });
    let at = path(&make(server, &body).await?)?;
    let changed = server
        .patch(&at, &json!({ "metadata": { "n": 1 } }))
        .await?
        .ok()
        .body;
    let workspace = &changed["workspace"];
    assert_eq!(
        (&workspace["external_id"], &workspace["auto_stop_after"]),
        (&json!("repo"), &json!("1h"))
    );
    assert_eq!(
        (&workspace["tags"], &workspace["metadata"]),
        (&json!(["a"]), &json!({ "n": 1 }))
    );
    let body = json!({ "external_id": null, "auto_stop_after": null, "tags": [] });
    server.patch(&at, &body).await?.ok();
    let workspace = get(server, &at).await?;
    assert_eq!(
        (&workspace["external_id"], &workspace["auto_stop_after"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(
        (&workspace["tags"], &workspace["metadata"]),
        (&json!([]), &json!({ "n": 1 }))
    );
    server
        .patch(&at, &json!({ "external_id": "" }))
        .await?
        .refused(400, "limit_exceeded");
    make(server, &json!({ "external_id": "other" })).await?;
    let refused = server
        .patch(&at, &json!({ "external_id": "other" }))
        .await?;
    refused.refused(409, "external_id_taken");
    Ok(())
}

#[tokio::test]
async fn a_session_runs_in_a_given_workspace_and_leaves_a_version() -> Result<()> {
    let mut deployed = deployed().await?;
    let made = make(&deployed.server, &json!({})).await?;
    let at = path(&made)?;
    let (_, assignment) = live(&mut deployed, &made).await?;
    assert_eq!(json!(assignment.workspace_id), made["id"]);
    let server = &deployed.server;
    let machine = get(server, &at).await?["materialization"].clone();
    assert_eq!(
        (&machine["state"], &machine["driver"]),
        (&json!("live"), &json!("scripted"))
    );
    assert!(machine["started_at"].is_string() && machine["ended_at"].is_null());
    succeed(&deployed, &assignment).await?;
    let version = stopped(&deployed, &assignment).await?;
    let workspace = get(server, &at).await?;
    assert_eq!(workspace["current_version_id"], json!(version));
    assert_eq!(workspace["size_bytes"], 2_000);
    assert_eq!(workspace["materialization"]["state"], "stopped");
    let versions = server.get(&format!("{at}/versions")).await?.ok().body;
    let one = &versions["items"][0];
    assert_eq!(
        (&one["id"], &one["kind"], &one["current"]),
        (&json!(version), &json!("auto"), &json!(true))
    );
    assert_eq!(
        (&one["changed_bytes"], &one["parent_id"]),
        (&json!(30), &Value::Null)
    );
    assert!(
        one.get("manifest").is_none(),
        "where the bytes are is nobody's business"
    );
    let found = server
        .get(&format!("{at}/versions/{version}"))
        .await?
        .ok()
        .body;
    assert_eq!(&found["version"], one);
    let other = VersionId::new(START, [8; 10]);
    let missing = server.get(&format!("{at}/versions/{other}")).await?;
    missing.refused(404, "version_not_found");
    Ok(())
}

#[tokio::test]
async fn a_workspace_with_runs_is_busy_and_force_cancels_them() -> Result<()> {
    let mut deployed = deployed().await?;
    let made = make(&deployed.server, &json!({})).await?;
    let at = path(&made)?;
    let (id, _) = live(&mut deployed, &made).await?;
    let server = &deployed.server;
    let stop = format!("{at}/stop");
    for refused in [
        server.post(&stop, &json!({})).await?,
        server.delete(&at).await?,
    ] {
        let details = refused.refused(409, "workspace_busy");
        assert_eq!(details, json!({ "run_ids": [id], "runs": 1 }));
    }
    let told = server
        .post(&stop, &json!({ "force": true }))
        .await?
        .ok()
        .body;
    assert_eq!(told["workspace"]["materialization"]["stop_requested"], true);
    let ordered = deployed
        .worker
        .assigned(|pushed| pushed.want == Want::Stop)
        .await?;
    let order = ordered.runs[0].stop.as_ref().context("no order to stop")?;
    assert_eq!(order.message, "the workspace was stopped");
    let server = &deployed.server;
    let body = json!({ "result": "stopped", "exit_code": null });
    deployed
        .worker
        .run(server, &ordered, "finished", &body)
        .await?
        .ok();
    assert_eq!(run(server, &id).await?["status"], "cancelled");
    stopped(&deployed, &ordered).await?;
    assert_eq!(
        get(server, &at).await?["materialization"]["state"],
        "stopped"
    );
    assert_eq!(get(server, &at).await?["state"], "active");
    Ok(())
}

#[tokio::test]
async fn a_deleted_workspace_takes_nothing_more_and_frees_its_external_id() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let made = make(server, &json!({ "external_id": "repo" })).await?;
    let at = path(&made)?;
    let body = json!({ "task": "answer", "workspace_id": made["id"] });
    drain(&deployed).await?;
    let (session, id) = start(server, &body).await?;
    server.delete(&at).await?.refused(409, "workspace_busy");
    let deleted = server.delete(&format!("{at}?force=true")).await?.ok().body;
    assert_eq!(deleted["workspace"]["state"], "deleted");
    assert_eq!(run(server, &id).await?["status"], "cancelled");
    let session = server
        .get(&format!("/api/v1/sessions/{session}"))
        .await?
        .ok()
        .body;
    assert_eq!(session["session"]["status"], "cancelled");
    assert_eq!(
        session["session"]["cancel_reason"],
        "the workspace was deleted"
    );
    let again = server.delete(&at).await?.ok().body;
    assert_eq!(again["workspace"]["state"], "deleted");
    assert_eq!(get(server, &at).await?["state"], "deleted");
    let refused = server.post("/api/v1/sessions", &body).await?;
    refused.refused(409, "workspace_not_active");
    server
        .patch(&at, &json!({ "tags": [] }))
        .await?
        .refused(409, "workspace_not_active");
    server
        .post(&format!("{at}/stop"), &json!({}))
        .await?
        .refused(409, "workspace_not_active");
    let recover = json!({ "from": "last_version" });
    server
        .post(&format!("{at}/recover"), &recover)
        .await?
        .refused(409, "workspace_not_active");
    make(server, &json!({ "external_id": "repo" })).await?;
    Ok(())
}

#[tokio::test]
async fn whoever_connects_waits_until_the_machine_is_live() -> Result<()> {
    let mut deployed = deployed().await?;
    let made = make(&deployed.server, &json!({ "auto_stop_after": "90s" })).await?;
    let at = path(&made)?;
    let asked = deployed
        .server
        .post(&format!("{at}/materialize"), &json!({}))
        .await?
        .ok()
        .body;
    assert!(asked["workspace"]["machine_requested_at"].is_string());
    let assignment = deployed.worker.assigned(|_| true).await?;
    let (server, worker) = (&deployed.server, &deployed.worker);
    let connect_to = format!("{at}/connect");
    let patience = json!({ "timeout": "30s" });
    let connecting = server.post(&connect_to, &patience);
    let live = async {
        worker
            .machine(server, &assignment, "live", &json!({}))
            .await
    };
    let (connected, live) = tokio::join!(connecting, live);
    live?.ok();
    let body = connected?.ok().body;
    let connection = &body["connection"];
    assert_eq!(connection["workspace_id"], made["id"]);
    assert_eq!(
        connection["materialization_id"],
        json!(assignment.machine.materialization_id)
    );
    assert_eq!(connection["stays_for"], "1m30s");
    let execs = connection["urls"]["execs"].as_str().context("no url")?;
    assert!(execs.ends_with(&format!("{at}/execs")), "{execs}");
    assert_eq!(body["workspace"]["materialization"]["state"], "live");
    assert_eq!(body["workspace"]["machine_requested_at"], Value::Null);
    // It is live: nobody waits.
    server.post(&connect_to, &json!({})).await?.ok();
    Ok(())
}

#[tokio::test]
async fn whoever_connects_is_told_why_the_machine_is_not_live() -> Result<()> {
    let mut deployed = deployed().await?;
    let at = path(&make(&deployed.server, &json!({})).await?)?;
    let connect_to = format!("{at}/connect");
    let server = &deployed.server;
    server
        .post(&connect_to, &json!({ "timeout": "11m" }))
        .await?
        .refused(400, "limit_exceeded");
    let soon = json!({ "timeout": "50ms" });
    let late = server.post(&connect_to, &soon).await?;
    assert_eq!(
        late.body["error"]["details"]["reason"],
        "it is still being made"
    );
    late.refused(503, "workspace_not_live");
    let assignment = deployed.worker.assigned(|_| true).await?;
    let failed = json!({
        "kind": "image_failed", "message": "no such image", "version": null, "checkpoint_kept": false,
    });
    let patience = json!({ "timeout": "30s" });
    let connecting = server.post(&connect_to, &patience);
    let failing = async {
        // The worker hears of it when the machine is asked for again.
        let asked = |next: &Assignment| next.revision > assignment.revision;
        let again = deployed.worker.assigned(asked).await?;
        deployed
            .worker
            .machine(server, &again, "failed", &failed)
            .await
    };
    let (refused, failed) = tokio::join!(connecting, failing);
    failed?.ok();
    let refused = refused?;
    let details = &refused.body["error"]["details"];
    assert_eq!(details["materialization_state"], "failed");
    assert_eq!(details["reason"], "image_failed: no such image");
    refused.refused(503, "workspace_not_live");
    Ok(())
}

#[tokio::test]
async fn an_archived_workspace_says_what_waits_for_it() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let at = path(&make(server, &json!({})).await?)?;
    let archived = server
        .post(&format!("{at}/archive"), &json!({}))
        .await?
        .ok()
        .body;
    assert_eq!(archived["workspace"]["state"], "archived");
    assert!(archived["workspace"]["placement_reason"].is_string());
    for action in ["materialize", "connect"] {
        server
            .post(&format!("{at}/{action}"), &json!({}))
            .await?
            .refused(409, "workspace_not_active");
    }
    server
        .post(&format!("{at}/unarchive"), &json!({ "force": true }))
        .await?
        .refused(400, "unknown_field");
    let active = server
        .post(&format!("{at}/unarchive"), &json!({}))
        .await?
        .ok()
        .body;
    assert_eq!(active["workspace"]["state"], "active");
    assert_eq!(active["workspace"]["placement_reason"], Value::Null);
    Ok(())
}

/// Has the worker go away: what starts now stays queued.
async fn drain(deployed: &Deployed) -> Result<()> {
    let body = json!({
        "free": { "cpu_millis": 0, "memory_mib": 0, "disk_mib": 0, "slots": 0 }, "leases": [], "draining": true,
    });
    deployed
        .worker
        .post(&deployed.server, "/worker/v1/heartbeat", &body)
        .await?
        .ok();
    Ok(())
}

#[tokio::test]
async fn recovery_is_chosen_by_name() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let at = format!("{}/recover", path(&make(server, &json!({})).await?)?);
    server
        .post(&at, &json!({}))
        .await?
        .refused(400, "invalid_body");
    server
        .post(&at, &json!({ "from": "hope" }))
        .await?
        .refused(400, "invalid_body");
    let answer = server
        .post(&at, &json!({ "from": "last_version" }))
        .await?
        .ok()
        .body;
    assert_eq!(answer["workspace"]["state"], "active");
    Ok(())
}
