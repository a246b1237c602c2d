//! Streams of a session: declared, checked, ordered.

use anyhow::Result;
use serde_json::json;

use crate::fixture::{deployed, start};

#[tokio::test]
async fn input_is_checked_numbered_and_listed() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    for (at, correlation) in [(1, Some("a")), (2, None), (3, Some("a"))] {
        let body = json!({ "data": { "text": "t", "at": at }, "correlation_id": correlation });
        let answer = server.post(&path, &body).await?.ok();
        assert_eq!(
            (answer.status.as_u16(), &answer.body["record"]["sequence"]),
            (201, &json!(at))
        );
    }
    let page = server.get(&format!("{path}?limit=2")).await?.ok().body;
    assert_eq!(page["next_cursor"], "2");
    let rest = server.get(&format!("{path}?cursor=2")).await?.ok().body;
    assert_eq!(
        (&rest["items"][0]["sequence"], &rest["next_cursor"]),
        (&json!(3), &json!(null))
    );
    let only = server
        .get(&format!("{path}?correlation_id=a"))
        .await?
        .ok()
        .body;
    assert_eq!(only["items"].as_array().map(Vec::len), Some(2));

    let streams = server
        .get(&format!("/api/v1/sessions/{session}/streams"))
        .await?
        .ok()
        .body;
    let inbox = streams["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|stream| stream["name"] == "inbox");
    assert_eq!(
        inbox.map(|inbox| (
            &inbox["direction"],
            &inbox["records"],
            inbox["last_record_at"].is_string()
        )),
        Some((&json!("input"), &json!(3), true)),
        "{streams}"
    );
    Ok(())
}

#[tokio::test]
async fn records_that_do_not_fit_are_refused() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let details = server
        .post(&path, &json!({ "data": {} }))
        .await?
        .refused(422, "record_invalid");
    assert_eq!(details["path"], "text");
    server
        .post(&path, &json!({}))
        .await?
        .refused(400, "invalid_body");
    let large = json!({ "data": { "text": "x".repeat(1 << 20) } });
    server
        .post(&path, &large)
        .await?
        .refused(413, "record_too_large");
    let odd = json!({ "data": { "text": "t" }, "correlation_id": "" });
    server
        .post(&path, &odd)
        .await?
        .refused(400, "limit_exceeded");
    let output = format!("/api/v1/sessions/{session}/inputs/out");
    server
        .post(&output, &json!({ "data": 1 }))
        .await?
        .refused(404, "stream_not_found");
    server.get(&output).await?.refused(404, "stream_not_found");
    let missing = "/api/v1/sessions/ses_00000000000000000000000000/inputs/inbox";
    server
        .post(missing, &json!({ "data": { "text": "t" } }))
        .await?
        .refused(404, "session_not_found");
    Ok(())
}

#[tokio::test]
async fn the_same_record_key_gives_the_first_record() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let body = json!({ "data": { "text": "once" }, "idempotency_key": "k" });
    let first = server.post(&path, &body).await?.ok();
    let again = server.post(&path, &body).await?.ok();
    assert_eq!(again.body["record"], first.body["record"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let other = json!({ "data": { "text": "twice" }, "idempotency_key": "k" });
    server
        .post(&path, &other)
        .await?
        .refused(409, "idempotency_key_reused");
    let key = [("Idempotency-Key", "h")];
    let body = json!({ "data": { "text": "by header" } });
    let first = server.post_with(&path, &body, &key).await?.ok();
    let again = server.post_with(&path, &body, &key).await?.ok();
    assert_eq!(again.body["record"], first.body["record"]);
    Ok(())
}

#[tokio::test]
async fn a_session_that_ended_takes_no_input_and_can_still_be_read() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    server
        .post(&path, &json!({ "data": { "text": "t" } }))
        .await?
        .ok();
    server
        .post(&format!("/api/v1/sessions/{session}/cancel"), &json!({}))
        .await?
        .ok();
    server
        .post(&path, &json!({ "data": { "text": "t" } }))
        .await?
        .refused(409, "session_ended");
    let page = server.get(&path).await?.ok().body;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}
