//! A server with a worker, an image and a deployed project.

use anyhow::Result;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::server::{Answer, Server};
use crate::worker::Worker;

pub(crate) const IMAGE: &str = "node:24-bookworm-slim";

pub(crate) struct Deployed {
    pub(crate) server: Server,
    pub(crate) worker: Worker,
    pub(crate) deployment: Value,
}

/// Starts a server and deploys [`index`] on it.
pub(crate) async fn deployed() -> Result<Deployed> {
    deployed_on(Server::start().await?).await
}

/// Deploys [`index`] on a server.
pub(crate) async fn deployed_on(server: Server) -> Result<Deployed> {
    let worker = Worker::join(&server).await?;
    import(&server, IMAGE, b"a root filesystem, in words")
        .await?
        .ok();
    let bundle = upload(&server, "bundle", b"a bundle, in words").await?;
    let body = json!({ "index": index(), "bundle_sha256": bundle });
    let answer = server.post("/api/v1/deployments", &body).await?.ok();
    Ok(Deployed {
        deployment: answer.body["deployment"].clone(),
        server,
        worker,
    })
}

/// Uploads bytes and gives their SHA-256.
pub(crate) async fn upload(server: &Server, kind: &str, bytes: &[u8]) -> Result<String> {
    let sha256 = sha256(bytes);
    let path = format!("/api/v1/uploads/{sha256}?kind={kind}");
    server.put(&path, bytes.to_vec()).await?.ok();
    Ok(sha256)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(crate) async fn import(server: &Server, name: &str, archive: &[u8]) -> Result<Answer> {
    let sha256 = upload(server, "image", archive).await?;
    let body = json!({ "name": name, "upload_sha256": sha256 });
    server.post("/api/v1/images", &body).await
}

/// Three tasks that share two streams, and one that means another thing by one of their names.
pub(crate) fn index() -> Value {
    let ids = ["answer", "echo", "needs-secret"];
    let mut echo = task("echo");
    echo["payload_schema"] = json!({
        "type": "object",
        "properties": {
            "text": { "type": "string" },
            "times": { "type": "integer", "minimum": 1 },
        },
        "required": ["text"],
        "additionalProperties": false,
    });
    let mut secret = task("needs-secret");
    secret["secrets"] = json!([{ "name": "OPENAI_API_KEY", "env": "OPENAI_API_KEY" }]);
    json!({
        "project": "main",
        "tasks": [task("answer"), echo, secret, task("orders")],
        "sandboxes": [],
        "streams": [
            { "name": "inbox", "direction": "input", "schema": { "type": "object", "required": ["text"] },
              "tasks": ids, "file": "tasks/all.ts", "export": "inbox", "module": "tasks/all.mjs" },
            { "name": "out", "direction": "output", "schema": null, "tasks": ids,
              "file": "tasks/all.ts", "export": null, "module": "tasks/all.mjs" },
            { "name": "inbox", "direction": "input", "tasks": ["orders"],
              "schema": { "type": "object", "properties": { "amount": { "type": "integer" } }, "required": ["amount"] },
              "file": "tasks/orders.ts", "export": "inbox", "module": "tasks/orders.mjs" },
            { "name": "receipts", "direction": "output", "tasks": ["orders"],
              "schema": { "type": "object", "properties": { "total": { "type": "number" } }, "required": ["total"] },
              "file": "tasks/orders.ts", "export": "receipts", "module": "tasks/orders.mjs" },
            { "name": "cancellations", "direction": "input", "schema": null, "tasks": ["orders"],
              "file": "tasks/orders.ts", "export": null, "module": "tasks/orders.mjs" },
        ],
        "bundle": { "files": [] },
    })
}

/// A task as the bundler describes one.
pub(crate) fn task(id: &str) -> Value {
    json!({
        "id": id, "module": "tasks/all.mjs", "export": id, "file": "tasks/all.ts",
        "streams": ["inbox", "out"], "sandbox_id": null, "max_duration_seconds": 900, "queue": null,
        "ttl": null, "retry": null, "secrets": [], "payload_schema": null, "schedule": null,
    })
}

/// Starts a session and gives its id and its run's.
pub(crate) async fn start(server: &Server, body: &Value) -> Result<(String, String)> {
    let answer = server.post("/api/v1/sessions", body).await?.ok();
    Ok((answer.text("/session/id")?, answer.text("/run/id")?))
}
