//! What is refused of work on files before anybody looks at one, and when nobody can.

use anyhow::Result;
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::fixture::{deployed, start};
use crate::life::started;
use crate::server::{Answer, Server};

/// Sends bytes with headers.
async fn send(
    server: &Server,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", server.key));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    server
        .answer(request.body(Body::from(body.to_owned()))?)
        .await
}

const NOBODY: &str = "/api/v1/workspaces/ws_00000000000000000000000000/files";

#[tokio::test]
async fn files_are_those_of_a_workspace_that_exists() -> Result<()> {
    let server = Server::start().await?;
    for (method, rest, body) in [
        (Method::GET, "", ""),
        (Method::GET, "/stat?path=a", ""),
        (Method::GET, "/content?path=a", ""),
        (Method::GET, "/archive", ""),
        (Method::GET, "/glob?pattern=*", ""),
        (Method::GET, "/search?query=a", ""),
        (Method::GET, "?version=wsv_00000000000000000000000000", ""),
        (Method::PUT, "/content?path=a", "bytes"),
        (Method::POST, "/append?path=a", "bytes"),
        (Method::PUT, "/archive", "bytes"),
        (Method::POST, "/mkdir", r#"{"path":"a"}"#),
        (Method::POST, "/move", r#"{"from":"a","to":"b"}"#),
        (Method::POST, "/chmod", r#"{"path":"a","mode":"0644"}"#),
        (Method::DELETE, "?path=a", ""),
    ] {
        let path = format!("{NOBODY}{rest}");
        let answer = send(&server, (method.clone(), &path), &[], body).await?;
        let found = (answer.status.as_u16(), answer.code());
        assert_eq!(found, (404, "workspace_not_found"), "{method} {rest}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_not_understood_is_refused_by_name() -> Result<()> {
    let server = Server::start().await?;
    let get = Method::GET;
    for (method, rest, headers, body, code) in [
        (get.clone(), "?depth=3", vec![], "", "invalid_query"),
        (get.clone(), "?limit=0", vec![], "", "invalid_query"),
        (get.clone(), "?cursor=%25", vec![], "", "invalid_cursor"),
        (get.clone(), "/search", vec![], "", "invalid_query"),
        (
            get.clone(),
            "/search?query=a&cursor=YQ",
            vec![],
            "",
            "invalid_cursor",
        ),
        (get.clone(), "/content", vec![], "", "invalid_query"),
        (
            get.clone(),
            "/content?path=a",
            vec![("range", "bytes=5-2")],
            "",
            "invalid_header",
        ),
        (
            get.clone(),
            "/content?path=a",
            vec![("range", "bytes=0-1,3-4")],
            "",
            "invalid_header",
        ),
        (
            Method::PUT,
            "/content?path=a&mode=9",
            vec![],
            "",
            "invalid_query",
        ),
        (
            Method::PUT,
            "/content?path=a",
            vec![("if-match", "*")],
            "",
            "invalid_header",
        ),
        (
            Method::PUT,
            "/content?path=a",
            vec![("if-none-match", "x")],
            "",
            "invalid_header",
        ),
        (
            Method::POST,
            "/append?path=a&offset=-1",
            vec![],
            "",
            "invalid_query",
        ),
        (
            Method::POST,
            "/mkdir",
            vec![],
            r#"{"path":"a","owner":1}"#,
            "unknown_field",
        ),
        (
            Method::POST,
            "/chmod",
            vec![],
            r#"{"path":"a","mode":"rwx"}"#,
            "invalid_body",
        ),
        (
            Method::POST,
            "/move",
            vec![],
            r#"{"from":"a"}"#,
            "invalid_body",
        ),
    ] {
        let path = format!("{NOBODY}{rest}");
        let answer = send(&server, (method.clone(), &path), &headers, body).await?;
        let found = (answer.status.as_u16(), answer.code().to_owned());
        assert_eq!(found, (400, code.to_owned()), "{method} {rest} {headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_away_is_unavailable_and_a_deleted_workspace_gone() -> Result<()> {
    let mut deployed = deployed().await?;
    let (_, _, assignment) = started(&mut deployed, &json!({ "task": "answer" })).await?;
    let server = &deployed.server;
    let files = format!("/api/v1/workspaces/{}/files", assignment.workspace_id);
    deployed.worker.leave();
    let answer = server.get(&files).await?;
    answer.refused(503, "worker_unavailable");
    let path = format!("{files}/content?path=a");
    let answer = send(server, (Method::PUT, &path), &[], "bytes").await?;
    answer.refused(503, "worker_unavailable");
    Ok(())
}

#[tokio::test]
async fn a_deleted_workspace_has_no_files() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, _) = start(server, &json!({ "task": "answer" })).await?;
    let found = server
        .get(&format!("/api/v1/sessions/{session}"))
        .await?
        .ok();
    let workspace = found.body["session"]["workspace_id"].clone();
    let path = format!(
        "/api/v1/workspaces/{}",
        workspace.as_str().unwrap_or_default()
    );
    let gone = send(
        server,
        (Method::DELETE, &format!("{path}?force=true")),
        &[],
        "",
    )
    .await?;
    gone.ok();
    let files = format!("{path}/files");
    for (method, rest) in [(Method::GET, ""), (Method::PUT, "/content?path=a")] {
        let answer = send(server, (method, &format!("{files}{rest}")), &[], "").await?;
        let details = answer.refused(409, "workspace_not_active");
        assert_eq!(details["state"], Value::from("deleted"));
    }
    Ok(())
}
