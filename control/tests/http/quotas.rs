//! What an environment may hold, and what of a worker's holdings may go.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::fixture::deployed;

fn limits(quotas: &Value) -> [&Value; 3] {
    ["workspaces", "version_bytes", "machines"].map(|name| &quotas["quotas"][name]["limit"])
}

#[tokio::test]
async fn quotas_are_read_changed_and_taken_away() -> Result<()> {
    let fixture = deployed().await?;
    let server = &fixture.server;
    let found = server.get("/api/v1/quotas").await?.ok().body;
    assert_eq!(limits(&found), [&Value::Null; 3], "{found}");
    assert_eq!(found["quotas"]["workspaces"]["used"], 0);
    let body = json!({"workspaces": 1, "machines": 3});
    let changed = server.patch("/api/v1/quotas", &body).await?.ok().body;
    assert_eq!(
        limits(&changed),
        [&json!(1), &Value::Null, &json!(3)],
        "{changed}"
    );
    let changed = server
        .patch("/api/v1/quotas", &json!({"machines": null}))
        .await?
        .ok()
        .body;
    assert_eq!(
        limits(&changed),
        [&json!(1), &Value::Null, &Value::Null],
        "{changed}"
    );
    assert_eq!(server.get("/api/v1/quotas").await?.ok().body, changed);
    Ok(())
}

#[tokio::test]
async fn a_bad_quota_is_refused_by_name() -> Result<()> {
    let fixture = deployed().await?;
    let server = &fixture.server;
    for (body, code) in [
        (json!({"sessions": 1}), "unknown_field"),
        (json!({"machines": -1}), "invalid_body"),
        (json!({"machines": "many"}), "invalid_body"),
        (json!({"version_bytes": 1_u64 << 53}), "limit_exceeded"),
    ] {
        let answer = server.patch("/api/v1/quotas", &body).await?;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (400, code),
            "{body}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn work_over_a_quota_is_a_conflict_that_names_limit_and_use() -> Result<()> {
    let fixture = deployed().await?;
    let server = &fixture.server;
    server.post("/api/v1/workspaces", &json!({})).await?.ok();
    server
        .patch("/api/v1/quotas", &json!({"workspaces": 1}))
        .await?
        .ok();
    let answer = server.post("/api/v1/workspaces", &json!({})).await?;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (409, "quota_exceeded")
    );
    let details = &answer.body["error"]["details"];
    assert_eq!(
        *details,
        json!({"quota": "workspaces", "limit": 1, "used": 1})
    );
    Ok(())
}

#[tokio::test]
async fn a_worker_is_told_what_may_go_and_brings_only_what_was_lost_with_it() -> Result<()> {
    let fixture = deployed().await?;
    let server = &fixture.server;
    let worker = &fixture.worker;
    let made = server
        .post("/api/v1/workspaces", &json!({}))
        .await?
        .ok()
        .body;
    let id = made["workspace"]["id"]
        .as_str()
        .context("no id")?
        .to_owned();
    let holdings = json!({"workspaces": [{"workspace_id": id, "newer": true}], "machines": []});
    let asked = worker
        .post(server, "/worker/v1/holdings", &holdings)
        .await?
        .ok()
        .body;
    assert_eq!(asked, json!({"deleted": [], "over": [], "keep_beside": []}));
    let version = json!({
        "parent": null,
        "version": {
            "version_id": "wsv_00000000000000000000000000",
            "manifest": "m", "size_bytes": 1, "changed_bytes": 1,
        },
    });
    let path = format!("/worker/v1/workspaces/{id}/beside");
    let refused = worker.post(server, &path, &version).await?;
    assert_eq!(refused.code(), "stale_lease");
    server
        .delete(&format!("/api/v1/workspaces/{id}"))
        .await?
        .ok();
    let asked = worker
        .post(server, "/worker/v1/holdings", &holdings)
        .await?
        .ok()
        .body;
    assert_eq!(asked["deleted"], json!([id]));
    let many: Vec<Value> = (0..201)
        .map(|_| holdings["workspaces"][0].clone())
        .collect();
    let body = json!({"workspaces": many, "machines": []});
    let refused = worker.post(server, "/worker/v1/holdings", &body).await?;
    assert_eq!(refused.code(), "limit_exceeded");
    Ok(())
}
