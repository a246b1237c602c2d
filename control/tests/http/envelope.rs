//! What every answer has: an id, a version, a coded refusal.

use anyhow::Result;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use serde_json::json;

use crate::server::Server;

#[tokio::test]
async fn the_api_version_is_checked_and_echoed() -> Result<()> {
    let server = Server::start().await?;
    for version in [None, Some("2026-06-15")] {
        let mut request = server.request(Method::GET, "/api/v1/whoami");
        if let Some(version) = version {
            request = request.header("Helmr-API-Version", version);
        }
        let answer = server.answer(request.body(Body::empty())?).await?.ok();
        assert_eq!(answer.headers["helmr-api-version"], "2026-06-15");
    }
    let request = server
        .request(Method::GET, "/api/v1/whoami")
        .header("Helmr-API-Version", "1999-01-01");
    let details = server
        .answer(request.body(Body::empty())?)
        .await?
        .refused(400, "api_version_unsupported");
    assert_eq!(details["supported"], json!(["2026-06-15"]));
    Ok(())
}

#[tokio::test]
async fn unknown_routes_and_methods_are_refused_with_a_code() -> Result<()> {
    let server = Server::start().await?;
    server
        .get("/api/v1/nonsense")
        .await?
        .refused(404, "route_not_found");
    server
        .get("/nonsense")
        .await?
        .refused(404, "route_not_found");
    let request = server.request(Method::DELETE, "/api/v1/runs");
    let answer = server.answer(request.body(Body::empty())?).await?;
    answer.refused(404, "route_not_found");
    Ok(())
}

#[tokio::test]
async fn the_request_id_of_a_refusal_is_that_of_its_header() -> Result<()> {
    let server = Server::start().await?;
    let answer = server.get("/api/v1/runs/nonsense").await?;
    let header = answer.headers["x-request-id"].to_str()?.to_owned();
    assert!(header.starts_with("req_"), "{header}");
    assert_eq!(answer.text("/error/request_id")?, header);
    answer.refused(400, "invalid_path");
    Ok(())
}

#[tokio::test]
async fn health_and_readiness_need_no_key() -> Result<()> {
    let server = Server::start().await?;
    for path in ["/healthz", "/readyz"] {
        let answer = server
            .answer(Request::get(path).body(Body::empty())?)
            .await?;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn broken_bodies_and_queries_name_what_is_wrong() -> Result<()> {
    let server = Server::start().await?;
    let raw = |text: &'static str, content_type: &'static str| {
        server
            .request(Method::POST, "/api/v1/tokens")
            .header("content-type", content_type)
            .body(Body::from(text))
    };
    let json_type = "application/json";
    server
        .answer(raw("{\"tags\": ", json_type)?)
        .await?
        .refused(400, "invalid_json");
    server
        .answer(raw("{}", "text/plain")?)
        .await?
        .refused(400, "invalid_content_type");
    let details = server
        .answer(raw("{\"colour\": 1}", json_type)?)
        .await?
        .refused(400, "unknown_field");
    assert_eq!(details["path"], "colour");
    let details = server
        .answer(raw("{\"tags\": [\"a\", 2]}", json_type)?)
        .await?
        .refused(400, "invalid_body");
    assert_eq!(details["path"], "tags[1]");
    let large = json!({ "metadata": { "x": "x".repeat(5 << 20) } });
    let answer = server.post("/api/v1/tokens", &large).await?;
    assert!(
        answer.text("/error/message")?.contains("4 MiB"),
        "{answer:?}"
    );
    answer.refused(413, "body_too_large");

    server
        .get("/api/v1/runs?limit=0")
        .await?
        .refused(400, "invalid_query");
    server
        .get("/api/v1/runs?limit=201")
        .await?
        .refused(400, "invalid_query");
    server
        .get("/api/v1/runs?colour=red")
        .await?
        .refused(400, "invalid_query");
    server
        .get("/api/v1/runs?status=odd")
        .await?
        .refused(400, "invalid_query");
    server
        .get("/api/v1/runs?cursor=odd")
        .await?
        .refused(400, "invalid_cursor");
    server
        .get("/api/v1/runs?project_id=main&project_id=main")
        .await?
        .refused(400, "invalid_query");
    Ok(())
}

#[tokio::test]
async fn any_origin_may_ask_about_tokens_and_streams_and_about_nothing_else() -> Result<()> {
    let server = Server::start().await?;
    let preflight = |path: &'static str| {
        Request::builder()
            .method(Method::OPTIONS)
            .uri(path)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "authorization,content-type",
            )
            .body(Body::empty())
    };
    for path in [
        "/api/v1/tokens/tok_00000000000000000000000000/complete",
        "/api/v1/sessions/ses_00000000000000000000000000/inputs/inbox",
        "/api/v1/sessions/ses_00000000000000000000000000/outputs/out",
    ] {
        let answer = server.answer(preflight(path)?).await?.ok();
        assert_eq!(answer.headers["access-control-allow-origin"], "*", "{path}");
        assert!(
            !answer
                .headers
                .contains_key("access-control-allow-credentials")
        );
    }
    let answer = server.answer(preflight("/api/v1/sessions")?).await?;
    assert!(
        !answer.headers.contains_key("access-control-allow-origin"),
        "{answer:?}"
    );
    // A refusal can be read by the page, too.
    let request = Request::post("/api/v1/tokens/tok_00000000000000000000000000/complete")
        .header("origin", "https://app.example.com");
    let answer = server.answer(request.body(Body::empty())?).await?;
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    answer.refused(401, "unauthenticated");
    Ok(())
}
