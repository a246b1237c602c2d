//! Tokens: completed once, by whoever has the right to.

use anyhow::{Context, Result};
use axum::body::Body;
use helmr_domain::Duration;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::server::{Answer, Server};

const TOKENS: &str = "/api/v1/tokens";

struct Token {
    id: String,
    public: String,
    callback: String,
}

async fn create(server: &Server) -> Result<Token> {
    let answer = server
        .post(TOKENS, &json!({ "timeout": "1h", "tags": ["t"] }))
        .await?
        .ok();
    let url = answer.text("/token/callback_url")?;
    Ok(Token {
        id: answer.text("/token/id")?,
        public: answer.text("/token/public_access_token")?,
        callback: url
            .strip_prefix("http://helmr.test")
            .context("not our URL")?
            .to_owned(),
    })
}

async fn complete(server: &Server, id: &str, data: &Value) -> Result<Answer> {
    server
        .post(&format!("{TOKENS}/{id}/complete"), &json!({ "data": data }))
        .await
}

async fn complete_as(server: &Server, credential: &str, id: &str, data: &Value) -> Result<Answer> {
    let request = Request::post(format!("{TOKENS}/{id}/complete"))
        .header("authorization", format!("Bearer {credential}"))
        .header("content-type", "application/json")
        .body(Body::from(json!({ "data": data }).to_string()))?;
    server.answer(request).await
}

#[tokio::test]
async fn secrets_are_in_the_creation_alone() -> Result<()> {
    let server = Server::start().await?;
    let created = server
        .post(TOKENS, &json!({ "metadata": { "release": "1" } }))
        .await?
        .ok();
    assert_eq!(created.status, 201);
    assert!(
        created
            .text("/token/public_access_token")?
            .starts_with("hlmr_pat_")
    );
    // Seven days where nothing is said.
    assert_eq!(
        created.text("/token/timeout_at")?,
        "2026-06-08T00:00:00.000Z"
    );
    let id = created.text("/token/id")?;
    for path in [format!("{TOKENS}/{id}"), TOKENS.to_owned()] {
        let text = server.get(&path).await?.ok().body.to_string();
        assert!(
            text.contains(&id) && !text.contains("hlmr_pat_") && !text.contains("callback"),
            "{text}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn equal_data_is_answered_with_the_first_completion_and_other_data_is_a_conflict()
-> Result<()> {
    let server = Server::start().await?;
    let token = create(&server).await?;
    let first = complete(&server, &token.id, &json!({ "a": 1, "b": [true] }))
        .await?
        .ok();
    assert_eq!(first.body["already_completed"], false);
    server.clock.advance(Duration::from_secs(1));
    let again = complete(&server, &token.id, &json!({ "b": [true], "a": 1.0 }))
        .await?
        .ok();
    assert_eq!(
        (again.status.as_u16(), &again.body["already_completed"]),
        (200, &json!(true))
    );
    assert_eq!(again.body["token"], first.body["token"]);
    assert_eq!(first.body["token"]["data"], json!({ "a": 1, "b": [true] }));
    complete(&server, &token.id, &json!({ "a": 2 }))
        .await?
        .refused(409, "token_completion_conflict");
    server
        .post(&format!("{TOKENS}/{}/cancel", token.id), &json!({}))
        .await?
        .refused(409, "token_completed");
    Ok(())
}

#[tokio::test]
async fn late_and_cancelled_tokens_are_gone() -> Result<()> {
    let server = Server::start().await?;
    let late = create(&server).await?;
    let cancelled = create(&server).await?;
    for _ in 0..2 {
        let answer = server
            .post(&format!("{TOKENS}/{}/cancel", cancelled.id), &json!({}))
            .await?
            .ok();
        assert_eq!(answer.body["token"]["status"], "cancelled");
    }
    complete(&server, &cancelled.id, &json!(1))
        .await?
        .refused(410, "token_cancelled");
    // Exactly at the deadline.
    server.clock.advance(Duration::from_secs(3_600));
    complete(&server, &late.id, &json!(1))
        .await?
        .refused(410, "token_expired");
    let missing = "tok_00000000000000000000000000";
    complete(&server, missing, &json!(1))
        .await?
        .refused(404, "token_not_found");
    server
        .get(&format!("{TOKENS}/{missing}"))
        .await?
        .refused(404, "token_not_found");
    Ok(())
}

#[tokio::test]
async fn a_public_access_token_completes_its_own_token_and_does_nothing_else() -> Result<()> {
    let server = Server::start().await?;
    let (own, other) = (create(&server).await?, create(&server).await?);
    complete_as(&server, &own.public, &other.id, &json!(1))
        .await?
        .refused(403, "permission_denied");
    let stream = "/api/v1/sessions/ses_00000000000000000000000000/outputs/out";
    let request = Request::get(stream).header("authorization", format!("Bearer {}", own.public));
    server
        .answer(request.body(Body::empty())?)
        .await?
        .refused(403, "permission_denied");
    complete_as(&server, &own.public, &own.id, &json!({ "ok": 1 }))
        .await?
        .ok();
    let again = complete_as(&server, &own.public, &own.id, &json!({ "ok": 1 }))
        .await?
        .ok();
    assert_eq!(again.body["already_completed"], true);
    for path in [TOKENS, "/api/v1/runs"] {
        let request = Request::get(path).header("authorization", format!("Bearer {}", own.public));
        server
            .answer(request.body(Body::empty())?)
            .await?
            .refused(401, "invalid_credential");
    }
    Ok(())
}

#[tokio::test]
async fn a_callback_takes_json_a_form_or_nothing_and_shows_nothing() -> Result<()> {
    let server = Server::start().await?;
    let form = "application/x-www-form-urlencoded";
    for (content_type, body, data) in [
        (
            Some("application/json"),
            "{\"approved\": true}",
            json!({ "approved": true }),
        ),
        (None, "[1, 2]", json!([1, 2])),
        (
            Some(form),
            "who=ann&to=x&to=y+z",
            json!({ "who": "ann", "to": ["x", "y z"] }),
        ),
        (None, "", Value::Null),
        (Some("application/json"), " ", Value::Null),
    ] {
        let token = create(&server).await?;
        let looked = Request::get(&token.callback).body(Body::empty())?;
        let looked = server.answer(looked).await?;
        assert_eq!((looked.status.as_u16(), &looked.body), (204, &Value::Null));
        let mut request = Request::builder().method(Method::POST).uri(&token.callback);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = server.answer(request.body(Body::from(body))?).await?.ok();
        assert_eq!(
            answer.body,
            json!({ "ok": true, "already_completed": false })
        );
        let got = server.get(&format!("{TOKENS}/{}", token.id)).await?.ok();
        assert_eq!(
            (&got.body["token"]["status"], &got.body["token"]["data"]),
            (&json!("completed"), &data)
        );
    }
    let token = create(&server).await?;
    let unknown = format!("/api/v1/tokens/callback/{}", "A".repeat(43));
    for path in [unknown.as_str(), "/api/v1/tokens/callback/short"] {
        let request = Request::post(path).body(Body::empty())?;
        server
            .answer(request)
            .await?
            .refused(404, "token_not_found");
    }
    let request = Request::post(&token.callback)
        .header("content-type", "image/png")
        .body(Body::from("x"))?;
    server
        .answer(request)
        .await?
        .refused(400, "invalid_content_type");
    let request = Request::post(&token.callback).body(Body::from("{"))?;
    server.answer(request).await?.refused(400, "invalid_json");
    Ok(())
}

#[tokio::test]
async fn limits_of_a_token_are_stated() -> Result<()> {
    let server = Server::start().await?;
    for (body, code) in [
        (json!({ "timeout": "366d" }), "limit_exceeded"),
        (json!({ "timeout": 0 }), "limit_exceeded"),
        (json!({ "timeout": "1 hour" }), "invalid_body"),
        (json!({ "tags": vec!["x"; 11] }), "limit_exceeded"),
    ] {
        server.post(TOKENS, &body).await?.refused(400, code);
    }
    let token = create(&server).await?;
    let answer = complete(&server, &token.id, &json!("x".repeat(1 << 20))).await?;
    assert!(
        answer.text("/error/message")?.contains("1 MiB"),
        "{answer:?}"
    );
    answer.refused(413, "record_too_large");
    let path = format!("{TOKENS}/{}/complete", token.id);
    server
        .post(&path, &json!({}))
        .await?
        .refused(400, "invalid_body");
    // Null is data.
    complete(&server, &token.id, &Value::Null).await?.ok();
    Ok(())
}

#[tokio::test]
async fn tokens_are_listed_by_status() -> Result<()> {
    let server = Server::start().await?;
    let (first, _) = (create(&server).await?, create(&server).await?);
    complete(&server, &first.id, &json!(1)).await?.ok();
    let completed = server.get("/api/v1/tokens?status=completed").await?.ok();
    assert_eq!(completed.text("/items/0/id")?, first.id);
    assert_eq!(completed.body["items"].as_array().map(Vec::len), Some(1));
    server
        .get("/api/v1/tokens?run_id=odd")
        .await?
        .refused(400, "invalid_query");
    Ok(())
}

#[tokio::test]
async fn tokens_are_listed_by_tag_and_session() -> Result<()> {
    let server = Server::start().await?;
    let token = create(&server).await?;
    server
        .post(TOKENS, &json!({ "tags": ["other"] }))
        .await?
        .ok();
    let ids = async |query: &str| -> Result<Vec<Value>> {
        let page = server.get(&format!("{TOKENS}?{query}")).await?.ok().body;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok(items.into_iter().map(|token| token["id"].clone()).collect())
    };
    assert_eq!(ids("tag=t").await?, [json!(token.id)]);
    assert_eq!(ids("tag=t&status=completed").await?, [] as [Value; 0]);
    let session = "ses_00000000000000000000000000";
    assert_eq!(
        ids(&format!("session_id={session}")).await?,
        [] as [Value; 0]
    );
    server
        .get(&format!("{TOKENS}?session_id=odd"))
        .await?
        .refused(400, "invalid_query");
    Ok(())
}

#[tokio::test]
async fn an_ended_token_says_since_when() -> Result<()> {
    let server = Server::start().await?;
    let token = create(&server).await?;
    let path = format!("{TOKENS}/{}", token.id);
    assert_eq!(
        server.get(&path).await?.ok().body["token"]["ended_at"],
        Value::Null
    );
    server.clock.advance(Duration::from_secs(1));
    server
        .post(&format!("{path}/cancel"), &json!({}))
        .await?
        .ok();
    let cancelled = server.get(&path).await?.ok().body;
    assert_eq!(
        (
            &cancelled["token"]["ended_at"],
            &cancelled["token"]["completed_at"]
        ),
        (&json!("2026-06-01T00:00:01.000Z"), &Value::Null)
    );
    Ok(())
}

#[tokio::test]
async fn a_token_may_name_the_origins_of_its_public_access_token() -> Result<()> {
    let server = Server::start().await?;
    let origin = "https://app.example.com";
    let body = json!({ "allowed_origins": [origin] });
    let created = server.post(TOKENS, &body).await?.ok();
    let (id, public) = (
        created.text("/token/id")?,
        created.text("/token/public_access_token")?,
    );
    let complete = async |from: Option<&str>| -> Result<Answer> {
        let mut request = Request::post(format!("{TOKENS}/{id}/complete"))
            .header("authorization", format!("Bearer {public}"))
            .header("content-type", "application/json");
        if let Some(from) = from {
            request = request.header("origin", from);
        }
        let body = Body::from(json!({ "data": 1 }).to_string());
        server.answer(request.body(body)?).await
    };
    for from in [None, Some("https://elsewhere.example")] {
        complete(from).await?.refused(403, "origin_not_allowed");
    }
    let answer = complete(Some(origin)).await?.ok();
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    let details = server
        .post(TOKENS, &json!({ "allowed_origins": [origin, "*"] }))
        .await?
        .refused(400, "limit_exceeded");
    assert_eq!(details["path"], "allowed_origins[1]");
    Ok(())
}

#[tokio::test]
async fn a_callback_takes_large_forms_and_types_in_any_case() -> Result<()> {
    let server = Server::start().await?;
    let call = async |content_type: &str, body: String| -> Result<(String, Answer)> {
        let token = create(&server).await?;
        let request = Request::post(&token.callback).header("content-type", content_type);
        let answer = server.answer(request.body(Body::from(body))?).await?;
        Ok((token.id, answer))
    };
    let form = "Application/X-WWW-Form-Urlencoded; charset=UTF-8";
    let (id, answer) = call(form, "a=1&b=x+y&a=2".to_owned()).await?;
    answer.ok();
    let token = server.get(&format!("{TOKENS}/{id}")).await?.ok().body;
    assert_eq!(
        token["token"]["data"],
        json!({ "a": ["1", "2"], "b": "x y" })
    );
    // What is too large for a token is told as that, and so is what is too large to be read.
    let (_, answer) = call(form, format!("a={}", "x".repeat(3 << 20))).await?;
    answer.refused(413, "record_too_large");
    let (_, answer) = call(form, format!("a={}", "x".repeat(5 << 20))).await?;
    answer.refused(413, "body_too_large");
    Ok(())
}
