//! `Idempotency-Key`: the first answer again, and nothing done twice.

use anyhow::Result;
use helmr_domain::Duration;
use serde_json::{Value, json};

use crate::fixture::deployed;
use crate::server::Server;

#[tokio::test]
async fn a_repeated_start_gives_the_first_answer() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let key = [("Idempotency-Key", "start-1")];
    let path = "/api/v1/sessions";
    let first = server
        .post_with(
            path,
            &json!({ "task": "echo", "payload": { "text": "a", "times": 1 } }),
            &key,
        )
        .await?
        .ok();
    assert!(!first.headers.contains_key("idempotency-replayed"));
    // Key order and number form do not matter.
    let again = server
        .post_with(
            path,
            &json!({ "payload": { "times": 1.0, "text": "a" }, "task": "echo" }),
            &key,
        )
        .await?
        .ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    server
        .post_with(path, &json!({ "task": "answer" }), &key)
        .await?
        .refused(409, "idempotency_key_reused");
    // The same key for another thing to do is another request, too.
    server
        .post_with("/api/v1/tokens", &json!({}), &key)
        .await?
        .refused(409, "idempotency_key_reused");
    let listed = server.get(path).await?.ok().body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn secrets_of_a_kept_answer_are_dropped_after_a_day() -> Result<()> {
    let server = Server::start().await?;
    let key = [("Idempotency-Key", "token-1")];
    let first = server
        .post_with("/api/v1/tokens", &json!({}), &key)
        .await?
        .ok();
    server.clock.advance(Duration::from_secs(3_600));
    let again = server
        .post_with("/api/v1/tokens", &json!({}), &key)
        .await?
        .ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, first.body, "with its secrets");
    server.clock.advance(Duration::from_secs(86_400));
    let later = server
        .post_with("/api/v1/tokens", &json!({}), &key)
        .await?
        .ok();
    assert_eq!(later.body["token"]["id"], first.body["token"]["id"]);
    assert_eq!(later.body["token"]["public_access_token"], Value::Null);
    assert_eq!(later.body["token"]["callback_url"], Value::Null);
    Ok(())
}

#[tokio::test]
async fn a_repeated_deploy_is_one_deployment() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let bundle = crate::fixture::upload(server, "bundle", b"second").await?;
    let body = json!({ "index": crate::fixture::index(), "bundle_sha256": bundle });
    let key = [("Idempotency-Key", "deploy-1")];
    let first = server
        .post_with("/api/v1/deployments", &body, &key)
        .await?
        .ok();
    let again = server
        .post_with("/api/v1/deployments", &body, &key)
        .await?
        .ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(again.body, first.body);
    let listed = server.get("/api/v1/deployments").await?.ok().body;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test]
async fn an_unusable_key_is_refused() -> Result<()> {
    let server = Server::start().await?;
    for key in [String::new(), "k".repeat(513)] {
        let headers = [("Idempotency-Key", key.as_str())];
        server
            .post_with("/api/v1/tokens", &json!({}), &headers)
            .await?
            .refused(400, "invalid_header");
    }
    Ok(())
}
