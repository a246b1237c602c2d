//! Deploying: what is taken, what is refused and how.

use anyhow::Result;
use helmr_domain::Duration;
use serde_json::{Value, json};

use crate::fixture::{IMAGE, deployed, index, task, upload};
use crate::server::{Answer, Server};

async fn deploy(server: &Server, index: &Value) -> Result<Answer> {
    let bundle = upload(server, "bundle", b"a bundle, in words").await?;
    let body = json!({ "index": index, "bundle_sha256": bundle });
    server.post("/api/v1/deployments", &body).await
}

#[tokio::test]
async fn a_deploy_is_promoted_and_its_tasks_are_listed() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    assert_eq!(deployed.deployment["status"], "deployed");
    assert_eq!(deployed.deployment["version"], "20260601.1");
    assert_eq!(deployed.deployment["current"], true);
    assert_eq!(
        deployed.deployment["tasks"],
        json!(["answer", "echo", "needs-secret", "orders"])
    );

    let tasks = server.get("/api/v1/tasks").await?.ok().body;
    let ids: Vec<_> = tasks["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|task| &task["id"])
        .collect();
    assert_eq!(ids, ["answer", "echo", "needs-secret", "orders"]);
    let echo = server.get("/api/v1/tasks/echo").await?.ok().body;
    assert_eq!(echo["task"]["payload_schema"]["required"], json!(["text"]));
    assert_eq!(echo["task"]["deployment_version"], "20260601.1");
    assert_eq!(echo["task"]["sandbox"], Value::Null);
    let secret = server.get("/api/v1/tasks/needs-secret").await?.ok().body;
    assert_eq!(secret["task"]["secret_names"], json!(["OPENAI_API_KEY"]));
    server
        .get("/api/v1/tasks/none")
        .await?
        .refused(404, "task_not_found");
    let sandboxes = server.get("/api/v1/sandboxes").await?.ok().body;
    assert_eq!(
        sandboxes["items"],
        json!([]),
        "the default one is not declared"
    );
    Ok(())
}

#[tokio::test]
async fn every_deploy_is_a_new_version_and_promotion_is_apart() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    // Ids of one millisecond have no order.
    let a_moment = Duration::from_millis(5);
    server.clock.advance(a_moment);
    let mut body =
        json!({ "index": index(), "bundle_sha256": upload(server, "bundle", b"another").await? });
    body["promote"] = json!(false);
    let second = server.post("/api/v1/deployments", &body).await?.ok().body["deployment"].clone();
    assert_eq!(
        (&second["version"], &second["current"]),
        (&json!("20260601.2"), &json!(false))
    );
    server.clock.advance(a_moment);
    let again = deploy(server, &index()).await?.ok().body["deployment"].clone();
    assert_eq!(
        (&again["version"], &again["current"]),
        (&json!("20260601.3"), &json!(true))
    );

    let path = format!(
        "/api/v1/deployments/{}",
        second["id"].as_str().unwrap_or_default()
    );
    let promoted = server
        .post(&format!("{path}/promote"), &json!({}))
        .await?
        .ok()
        .body;
    assert_eq!(promoted["deployment"]["current"], true);
    assert!(
        promoted["deployment"]["promoted_at"].is_string(),
        "{promoted}"
    );
    let task = server.get("/api/v1/tasks/answer").await?.ok().body;
    assert_eq!(task["task"]["deployment_id"], second["id"]);
    let listed = server.get("/api/v1/deployments").await?.ok().body;
    let versions: Vec<_> = listed["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|deployment| (&deployment["version"], &deployment["current"]))
        .collect();
    assert_eq!(
        versions,
        [
            (&json!("20260601.3"), &json!(false)),
            (&json!("20260601.2"), &json!(true)),
            (&json!("20260601.1"), &json!(false)),
        ]
    );
    let events = server.get(&format!("{path}/events")).await?.ok().body;
    let kinds: Vec<_> = events["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| &event["kind"])
        .collect();
    assert!(kinds.contains(&&json!("deployment.promoted")), "{events}");
    server
        .post(
            "/api/v1/deployments/dep_00000000000000000000000000/promote",
            &json!({}),
        )
        .await?
        .refused(404, "deployment_not_found");
    Ok(())
}

#[tokio::test]
async fn a_sandbox_is_listed_with_what_it_stood_for() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let mut index = index();
    index["tasks"][0]["sandbox_id"] = json!("roomy");
    index["sandboxes"] = json!([{
        "id": "roomy",
        "image": { "id": "i", "from": IMAGE, "workdir": "/w", "env": { "MODE": "test" }, "user": null,
                   "steps": [{ "op": "env", "variables": { "MODE": "test" } }], "steps_unsupported": [] },
        "workspace_path": "/home/agent", "network": { "internet": false },
        "resources": { "cpu_millis": 2000, "memory_bytes": 4294967296_u64, "disk_bytes": 10737418240_u64, "processes": 64 },
    }]);
    deploy(server, &index).await?.ok();
    let sandbox = server.get("/api/v1/sandboxes/roomy").await?.ok().body["sandbox"].clone();
    assert_eq!(
        (&sandbox["image"], &sandbox["mount_path"]),
        (&json!(IMAGE), &json!("/home/agent"))
    );
    assert_eq!(
        (&sandbox["cpu_millis"], &sandbox["processes"]),
        (&json!(2_000), &json!(64))
    );
    assert!(
        sandbox["image_digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:"))
    );
    server
        .get("/api/v1/sandboxes/none")
        .await?
        .refused(404, "sandbox_not_found");
    Ok(())
}

#[tokio::test]
async fn what_cannot_work_is_refused_by_file_and_export() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let with_image = |image: Value| {
        let mut one = task("built");
        one["sandbox_id"] = json!("s");
        json!({ "tasks": [one], "sandboxes": [{ "id": "s", "image": image }] })
    };
    let steps = json!({ "from": IMAGE, "steps": [{ "op": "run", "argv": ["true"] }] });
    for (index, status, code) in [
        (
            json!({ "tasks": [task("same"), task("same")] }),
            422,
            "duplicate_id",
        ),
        (json!({ "tasks": [task("not an id")] }), 422, "invalid_id"),
        (with_image(Value::Null), 422, "deployment_invalid"),
        (with_image(steps), 422, "image_steps_unsupported"),
        (
            with_image(json!({ "from": "nowhere:1" })),
            422,
            "image_not_found",
        ),
    ] {
        let answer = deploy(server, &index).await?;
        let message = answer.text("/error/message")?;
        let details = answer.refused(status, code);
        assert!(message.contains("tasks/all.ts"), "{message}");
        assert_eq!(details["file"], "tasks/all.ts", "{details}");
        if code == "image_not_found" {
            assert!(message.contains("helmr image import"), "{message}");
        }
    }
    let mut elsewhere = index();
    elsewhere["project"] = json!("other");
    deploy(server, &elsewhere)
        .await?
        .refused(403, "scope_mismatch");
    let unknown = json!({ "index": index(), "bundle_sha256": "0".repeat(64) });
    server
        .post("/api/v1/deployments", &unknown)
        .await?
        .refused(404, "upload_not_found");
    let newer = json!({
        "index": index(), "bundle_sha256": upload(server, "bundle", b"newer").await?,
        "provenance": { "worker_protocol": 2 },
    });
    server
        .post("/api/v1/deployments", &newer)
        .await?
        .refused(422, "protocol_unsupported");
    let listed = server.get("/api/v1/deployments").await?.ok().body;
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "nothing of it is deployed"
    );
    Ok(())
}
