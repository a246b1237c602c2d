//! No route without a credential, but those whose path is one.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::fixture::deployed;
use crate::server::Server;
use crate::worker::{Worker, post_as};

/// Every operation of the document: method, path with ids filled in, whether it is open.
async fn operations(server: &Server) -> Result<Vec<(Method, String, bool)>> {
    let document = server.get("/api/v1/openapi.json").await?.ok().body;
    let paths = document["paths"].as_object().context("no paths")?;
    let mut found = Vec::new();
    for (template, item) in paths {
        for (method, operation) in item.as_object().context("no operations")? {
            let path = template
                .replace("{stream}", "out")
                .replace("{sha256}", &"0".repeat(64))
                .replace("{secret}", &"A".repeat(43))
                .replace("{version}", "wsv_00000000000000000000000000")
                .replace("{id}", id_for(template));
            let open = operation["security"] == json!([{}]);
            let method: Method = method.to_uppercase().parse()?;
            found.push((method, path, open));
        }
    }
    Ok(found)
}

fn id_for(template: &str) -> &'static str {
    match template.split('/').nth(3).unwrap_or_default() {
        "sessions" => "ses_00000000000000000000000000",
        "runs" => "run_00000000000000000000000000",
        "tokens" => "tok_00000000000000000000000000",
        "workspaces" => "ws_00000000000000000000000000",
        "deployments" => "dep_00000000000000000000000000",
        _ => "some-name",
    }
}

#[tokio::test]
async fn every_operation_needs_a_key_but_callbacks() -> Result<()> {
    let server = Server::start().await?;
    let operations = operations(&server).await?;
    assert!(operations.len() > 30, "only {}", operations.len());
    let mut open = BTreeSet::new();
    for (method, path, is_open) in operations {
        if is_open {
            open.insert(format!("{method} {path}"));
            continue;
        }
        for (credential, code) in [
            (None, "unauthenticated"),
            (
                Some(format!("Bearer hlmr_sk_{}", "A".repeat(43))),
                "invalid_credential",
            ),
            (
                Some(format!("Bearer hlmr_pat_{}", "A".repeat(43))),
                "invalid_credential",
            ),
            (
                Some(format!("Bearer hlmr_wk_{}", "A".repeat(43))),
                "invalid_credential",
            ),
            (Some("Bearer nonsense".to_owned()), "invalid_credential"),
            (Some("Basic dTpw".to_owned()), "invalid_credential"),
        ] {
            let mut request = Request::builder().method(&method).uri(&path);
            if let Some(credential) = &credential {
                request = request.header("authorization", credential);
            }
            let answer = server.answer(request.body(Body::empty())?).await?;
            assert_eq!(
                (answer.status.as_u16(), answer.code()),
                (401, code),
                "{method} {path} with {credential:?}"
            );
        }
    }
    let secret = "A".repeat(43);
    let expected =
        ["GET", "POST"].map(|method| format!("{method} /api/v1/tokens/callback/{secret}"));
    assert_eq!(open, BTreeSet::from(expected));
    Ok(())
}

#[tokio::test]
async fn the_document_is_openapi_3_1_with_named_operations_and_a_licence() -> Result<()> {
    let server = Server::start().await?;
    let document = server.get("/api/v1/openapi.json").await?.ok().body;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["license"]["identifier"], "Apache-2.0");
    let mut names = BTreeSet::new();
    for item in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.1.as_object().into_iter().flatten() {
            let name = operation["operationId"]
                .as_str()
                .context("an operation has no name")?;
            assert!(names.insert(name.to_owned()), "{name} twice");
            assert!(
                operation["summary"].is_string(),
                "{method} {} has no summary",
                item.0
            );
        }
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap_or_default();
        assert!(
            document["components"]["schemas"][name].is_object(),
            "no schema {name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn worker_routes_take_worker_credentials_only() -> Result<()> {
    let server = Server::start().await?;
    let worker = Worker::join(&server).await?;
    let heartbeat = json!({
        "free": { "cpu_millis": 1, "memory_mib": 1, "disk_mib": 1, "slots": 1 },
        "leases": [], "draining": false,
    });
    let path = "/worker/v1/heartbeat";
    let by_key = post_as(&server, &server.key, path, &heartbeat).await?;
    by_key.refused(401, "invalid_credential");
    worker.post(&server, path, &heartbeat).await?.ok();
    let request = Request::get("/api/v1/whoami")
        .header("authorization", format!("Bearer {}", worker.credential));
    let answer = server.answer(request.body(Body::empty())?).await?;
    answer.refused(401, "invalid_credential");
    let unregistered = post_as(
        &server,
        &format!("hlmr_en_{}", "A".repeat(43)),
        "/worker/v1/register",
        &serde_json::to_value(crate::worker::registration("stranger"))?,
    )
    .await?;
    unregistered.refused(401, "invalid_credential");
    Ok(())
}

#[tokio::test]
async fn a_bound_key_may_name_its_own_scope_and_no_other() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let who = server.get("/api/v1/whoami").await?.ok().body;
    let (project, environment) = (&who["project"], &who["environment"]);
    assert_eq!(
        (&project["slug"], &environment["slug"]),
        (&json!("main"), &json!("production"))
    );
    assert_eq!(
        (&project["name"], &environment["name"]),
        (&json!("Main"), &json!("Production"))
    );
    for (project, environment) in [
        ("main", "production"),
        (
            project["id"].as_str().unwrap_or_default(),
            environment["id"].as_str().unwrap_or_default(),
        ),
    ] {
        let path =
            format!("/api/v1/runs?project_id={project}&environment_id={environment}&limit=5");
        server.get(&path).await?.ok();
        let body = json!({"task": "answer", "project_id": project, "environment_id": environment});
        server.post("/api/v1/sessions", &body).await?.ok();
    }
    server
        .get("/api/v1/runs?environment_id=staging")
        .await?
        .refused(403, "scope_mismatch");
    let body: Value = json!({"task": "answer", "project_id": "other"});
    server
        .post("/api/v1/sessions", &body)
        .await?
        .refused(403, "scope_mismatch");
    Ok(())
}
