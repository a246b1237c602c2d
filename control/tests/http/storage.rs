//! What is kept: versions by an environment's rule, and what the artifact store holds.

use anyhow::{Context, Result};
use http::Method;
use serde_json::json;

use crate::fixture::{deployed, upload};
use crate::server::Server;

const RETENTION: &str = "/api/v1/environments/production/retention";

#[tokio::test]
async fn an_environment_says_which_versions_it_keeps() -> Result<()> {
    let server = Server::start().await?;
    let usual = json!({ "retention": { "keep_last": 100, "keep_for": "30d" } });
    assert_eq!(server.get(RETENTION).await?.ok().body, usual);
    let changed = server
        .patch(RETENTION, &json!({ "keep_last": 5, "keep_for": "12h" }))
        .await?
        .ok();
    let expected = json!({ "retention": { "keep_last": 5, "keep_for": "12h" } });
    assert_eq!(changed.body, expected);
    let changed = server
        .patch(RETENTION, &json!({ "keep_for": null }))
        .await?
        .ok();
    assert_eq!(
        changed.body["retention"],
        json!({ "keep_last": 5, "keep_for": "30d" })
    );
    server.patch(RETENTION, &json!({})).await?.ok();
    for (body, code) in [
        (json!({ "keep_last": 0 }), "limit_exceeded"),
        (json!({ "keep_last": 1_000_001 }), "limit_exceeded"),
        (json!({ "keep_for": "59m" }), "limit_exceeded"),
        (json!({ "keep_for": "3651d" }), "limit_exceeded"),
        (json!({ "keep_for": "soon" }), "invalid_body"),
        (json!({ "keep": 1 }), "unknown_field"),
    ] {
        server.patch(RETENTION, &body).await?.refused(400, code);
    }
    let elsewhere = RETENTION.replace("production", "staging");
    server.get(&elsewhere).await?.refused(403, "scope_mismatch");
    server
        .patch(&elsewhere, &json!({}))
        .await?
        .refused(403, "scope_mismatch");
    Ok(())
}

#[tokio::test]
async fn a_round_tells_what_is_in_use_and_takes_nothing_that_is_young() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let before = server.get("/api/v1/storage").await?.ok().body;
    assert!(before["storage"]["last_sweep"].is_null());
    // An upload is named by the database; a version's files of a worker that died are not.
    upload(server, "bundle", b"another bundle").await?;
    let swept = server
        .answer(
            server
                .request(Method::POST, "/api/v1/storage/sweep")
                .body(axum::body::Body::empty())?,
        )
        .await?
        .ok()
        .body;
    let sweep = &swept["storage"]["last_sweep"];
    let objects = |name: &str| sweep[name]["objects"].as_u64().context(name.to_owned());
    // Two bundles and an image, each a chunk and a manifest.
    assert_eq!((objects("kept")?, objects("young")?), (6, 0));
    assert_eq!((objects("aside")?, objects("removed")?), (0, 0));
    assert!(sweep["failure"].is_null() && sweep["finished_at"].is_string());
    assert_eq!(server.get("/api/v1/storage").await?.ok().body, swept);
    Ok(())
}
