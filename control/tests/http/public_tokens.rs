//! Public access tokens: made for one thing, counted, revoked, and followed by until then.

use anyhow::{Context, Result};
use axum::body::Body;
use helmr_domain::Duration;
use http::Request;
use serde_json::{Value, json};

use crate::fixture::{Deployed, deployed, start};
use crate::following::Following;
use crate::server::{Answer, Server};

const PUBLIC: &str = "/api/v1/public-tokens";

/// Makes one, and gives its id and secret.
async fn create(server: &Server, body: &Value) -> Result<(String, String)> {
    let answer = server.post(PUBLIC, body).await?.ok();
    assert_eq!(answer.status, 201);
    let secret = answer.text("/secret")?;
    assert!(secret.starts_with("hlmr_pat_"));
    Ok((answer.text("/public_token/id")?, secret))
}

fn stream(session: &str, stream: &str, direction: &str) -> Value {
    json!({ "kind": "stream", "session_id": session, "stream": stream, "direction": direction })
}

async fn as_bearer(
    server: &Server,
    secret: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {secret}"))
        .header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    server.answer(request.body(body)?).await
}

async fn send(server: &Server, secret: &str, path: &str, key: &str) -> Result<Answer> {
    let body = json!({ "data": { "text": key }, "idempotency_key": key });
    as_bearer(server, secret, "POST", path, Some(&body), &[]).await
}

#[tokio::test]
async fn one_for_a_token_completes_it_and_nothing_else() -> Result<()> {
    let server = Server::start().await?;
    let token = async || -> Result<String> {
        let made = server.post("/api/v1/tokens", &json!({})).await?.ok();
        made.text("/token/id")
    };
    let (mine, other) = (token().await?, token().await?);
    let capability = json!({ "kind": "token", "token_id": mine });
    let body = json!({ "capability": capability, "max_uses": 1 });
    let (id, secret) = create(&server, &body).await?;
    let complete = async |token: &str, data: i64| {
        let path = format!("/api/v1/tokens/{token}/complete");
        let body = json!({ "data": data });
        as_bearer(&server, &secret, "POST", &path, Some(&body), &[]).await
    };
    complete(&other, 1).await?.refused(403, "permission_denied");
    // Looking costs no use, and neither does a repeated completion.
    let path = format!("/api/v1/tokens/{mine}");
    for _ in 0..2 {
        as_bearer(&server, &secret, "GET", &path, None, &[])
            .await?
            .ok();
    }
    for already in [false, true] {
        let answer = complete(&mine, 1).await?.ok();
        assert_eq!(answer.body["already_completed"], already);
    }
    complete(&mine, 2)
        .await?
        .refused(409, "token_completion_conflict");
    let known = server.get(&format!("{PUBLIC}/{id}")).await?.ok();
    assert_eq!(
        (
            &known.body["public_token"]["uses"],
            &known.body["public_token"]["capability"]
        ),
        (&json!(1), &capability)
    );
    assert!(!known.body.to_string().contains("hlmr_pat_"));
    // It opens nothing else.
    for path in ["/api/v1/sessions", "/api/v1/tokens", PUBLIC] {
        as_bearer(&server, &secret, "GET", path, None, &[])
            .await?
            .refused(401, "invalid_credential");
    }
    Ok(())
}

#[tokio::test]
async fn one_for_an_input_sends_as_often_as_it_may() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let mut capability = stream(&session, "inbox", "input");
    capability["correlation_id"] = json!("mine");
    let body = json!({ "capability": capability, "max_uses": 2 });
    let (id, secret) = create(server, &body).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    for key in ["1", "1", "2"] {
        let answer = send(server, &secret, &path, key).await?.ok();
        assert_eq!(answer.body["record"]["correlation_id"], "mine");
    }
    send(server, &secret, &path, "3")
        .await?
        .refused(403, "public_token_spent");
    // What was accepted is answered again, and a refusal costs nothing.
    send(server, &secret, &path, "2").await?.ok();
    let known = server.get(&format!("{PUBLIC}/{id}")).await?.ok();
    assert_eq!(known.body["public_token"]["uses"], 2);
    let transcript = format!("/api/v1/sessions/{session}/transcript");
    for path in [&path, &transcript] {
        let answer = as_bearer(server, &secret, "GET", path, None, &[]).await?;
        assert!(matches!(answer.status.as_u16(), 401 | 403), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_it_is_for_is_checked_when_it_is_made() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let input = stream(&session, "inbox", "input");
    for (body, status, code) in [
        (
            json!({ "capability": stream("ses_00000000000000000000000000", "inbox", "input") }),
            404,
            "session_not_found",
        ),
        (
            json!({ "capability": stream(&session, "cancellations", "input") }),
            404,
            "stream_not_found",
        ),
        (
            json!({ "capability": { "kind": "token", "token_id": "tok_00000000000000000000000000" } }),
            404,
            "token_not_found",
        ),
        (
            json!({ "capability": stream(&session, "a b", "input") }),
            400,
            "invalid_body",
        ),
        (
            json!({ "capability": { "kind": "everything" } }),
            400,
            "invalid_body",
        ),
        (
            json!({ "capability": stream(&session, "out", "output"), "max_uses": 1 }),
            400,
            "limit_exceeded",
        ),
        (
            json!({ "capability": input, "max_uses": 0 }),
            400,
            "limit_exceeded",
        ),
        (
            json!({ "capability": input, "expires_in": "366d" }),
            400,
            "limit_exceeded",
        ),
        (
            json!({ "capability": input, "allowed_origins": ["app.example.com"] }),
            400,
            "limit_exceeded",
        ),
    ] {
        server.post(PUBLIC, &body).await?.refused(status, code);
    }
    Ok(())
}

#[tokio::test]
async fn they_are_listed_by_what_they_are_for_and_expire() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let token = server.post("/api/v1/tokens", &json!({})).await?.ok();
    let token = token.text("/token/id")?;
    let body = json!({ "capability": stream(&session, "inbox", "input"), "expires_in": "1h" });
    let (id, secret) = create(server, &body).await?;
    let ids = async |query: &str| -> Result<Vec<Value>> {
        let page = server.get(&format!("{PUBLIC}?{query}")).await?.ok().body;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().map(|item| item["id"].clone()).collect())
    };
    assert_eq!(ids(&format!("session_id={session}")).await?, [json!(id)]);
    assert_eq!(
        ids(&format!("token_id={token}")).await?.len(),
        1,
        "the token's own"
    );
    assert_eq!(ids("").await?.len(), 2);
    let first = server.get(&format!("{PUBLIC}?limit=1")).await?.ok();
    let next = first.text("/next_cursor")?;
    assert_eq!(ids(&format!("limit=1&cursor={next}")).await?.len(), 1);
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    send(server, &secret, &path, "1").await?.ok();
    server.clock.advance(Duration::from_secs(3_600));
    send(server, &secret, &path, "1")
        .await?
        .refused(401, "invalid_credential");
    // A day where nothing is said.
    let body = json!({ "capability": stream(&session, "inbox", "input") });
    let (id, _) = create(server, &body).await?;
    let known = server.get(&format!("{PUBLIC}/{id}")).await?.ok();
    assert_eq!(
        known.text("/public_token/expires_at")?,
        "2026-06-02T01:00:00.000Z"
    );
    server
        .get(&format!("{PUBLIC}/pat_00000000000000000000000000"))
        .await?
        .refused(404, "public_token_not_found");
    Ok(())
}

#[tokio::test]
async fn a_repeated_creation_gives_the_same_secret_for_a_day() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let body = json!({ "capability": stream(&session, "inbox", "input"), "expires_in": "7d" });
    let key = [("Idempotency-Key", "pat-1")];
    let first = server.post_with(PUBLIC, &body, &key).await?.ok();
    let again = server.post_with(PUBLIC, &body, &key).await?.ok();
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let other = json!({ "capability": stream(&session, "inbox", "input") });
    server
        .post_with(PUBLIC, &other, &key)
        .await?
        .refused(409, "idempotency_key_reused");
    server.clock.advance(Duration::from_secs(86_400));
    let later = server.post_with(PUBLIC, &body, &key).await?.ok();
    assert_eq!(
        (&later.body["public_token"]["id"], &later.body["secret"]),
        (&first.body["public_token"]["id"], &Value::Null)
    );
    // The secret itself still works.
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    send(server, &first.text("/secret")?, &path, "1")
        .await?
        .ok();
    Ok(())
}

#[tokio::test]
async fn each_has_idempotency_keys_of_its_own() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("/api/v1/sessions/{session}/inputs/inbox");
    let key = [("Idempotency-Key", "shared")];
    server
        .post_with(&path, &json!({ "data": { "text": "by key" } }), &key)
        .await?
        .ok();
    let mut records = std::collections::BTreeSet::new();
    for text in ["one", "two"] {
        let body = json!({ "capability": stream(&session, "inbox", "input") });
        let (_, secret) = create(server, &body).await?;
        let body = json!({ "data": { "text": text } });
        for _ in 0..2 {
            let answer = as_bearer(server, &secret, "POST", &path, Some(&body), &key).await?;
            records.insert(answer.ok().text("/record/id")?);
        }
    }
    assert_eq!(records.len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_refused() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let origin = "https://app.example.com";
    let body =
        json!({ "capability": stream(&session, "out", "output"), "allowed_origins": [origin] });
    let (_, secret) = create(server, &body).await?;
    let path = format!("/api/v1/sessions/{session}/outputs/out");
    as_bearer(server, &secret, "GET", &path, None, &[("origin", origin)])
        .await?
        .ok();
    let elsewhere = [("origin", "https://app.example.com.evil.example")];
    as_bearer(server, &secret, "GET", &path, None, &elsewhere)
        .await?
        .refused(403, "origin_not_allowed");
    Ok(())
}

/// A follower of a session's output by a public access token that lasts an hour.
async fn follower(deployed: &Deployed) -> Result<(String, Following)> {
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let body = json!({ "capability": stream(&session, "out", "output"), "expires_in": "1h" });
    let (id, secret) = create(server, &body).await?;
    let path = format!("/api/v1/sessions/{session}/outputs/out");
    let following = Following::open_as(server, &secret, &path, None).await?;
    Ok((id, following))
}

async fn ends_with(following: &mut Following, word: &str) -> Result<()> {
    let event = following.next().await?;
    assert_eq!(event.name.as_deref(), Some("error"));
    assert_eq!(event.data["code"], "invalid_credential");
    let message = event.data["message"].as_str().context("no message")?;
    assert!(message.contains(word), "{message}");
    following.ended().await
}

#[tokio::test]
async fn a_follower_ends_when_its_token_is_revoked() -> Result<()> {
    let deployed = deployed().await?;
    let (id, mut following) = follower(&deployed).await?;
    let (_, mut other) = follower(&deployed).await?;
    let path = format!("{PUBLIC}/{id}/revoke");
    let revoked = deployed.server.post(&path, &json!({})).await?.ok();
    assert!(revoked.body["public_token"]["revoked_at"].is_string());
    ends_with(&mut following, "revoked").await?;
    let again = deployed.server.post(&path, &json!({})).await?.ok();
    assert_eq!(again.body, revoked.body);
    // Others go on, until their own time is over.
    deployed.server.clock.advance(Duration::from_secs(3_600));
    ends_with(&mut other, "expired").await
}
