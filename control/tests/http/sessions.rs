//! Sessions: started on good input alone, found, listed, closed, cancelled.

use anyhow::Result;
use serde_json::{Value, json};

use crate::fixture::{deployed, start};

const SESSIONS: &str = "/api/v1/sessions";

#[tokio::test]
async fn a_start_makes_a_session_a_workspace_and_a_queued_run() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let body = json!({
        "task": "echo", "payload": { "text": "hi" }, "tags": ["a"], "metadata": { "k": 1 },
        "max_duration_seconds": 60, "ttl": "1h",
    });
    let answer = server
        .post_with(SESSIONS, &body, &[("Helmr-Client", "cli/1.2.3")])
        .await?
        .ok();
    assert_eq!(answer.status, 201);
    let (session, run) = (&answer.body["session"], &answer.body["run"]);
    assert_eq!(
        (&session["status"], &session["task"]),
        (&json!("open"), &json!("echo"))
    );
    assert_eq!(
        (&session["tags"], &session["metadata"]),
        (&json!(["a"]), &json!({"k": 1}))
    );
    assert_eq!(session["deployment_id"], deployed.deployment["id"]);
    assert_eq!(
        (&run["session_id"], &run["reason"]),
        (&session["id"], &json!("start"))
    );
    assert_eq!(run["max_duration_seconds"], 60);
    assert_eq!(run["provenance"]["client"], "cli/1.2.3");
    assert_eq!(answer.body["reused"], false);

    let id = answer.text("/session/id")?;
    let got = server.get(&format!("{SESSIONS}/{id}")).await?.ok().body;
    assert_eq!(got["session"]["id"], session["id"]);
    let run_id = answer.text("/run/id")?;
    let got = server
        .get(&format!("/api/v1/runs/{run_id}"))
        .await?
        .ok()
        .body;
    assert_eq!(got["run"]["payload"], json!({ "text": "hi" }));
    let runs = server
        .get(&format!("{SESSIONS}/{id}/runs"))
        .await?
        .ok()
        .body;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn nothing_is_started_on_bad_input() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let echo = |payload: Value| json!({ "task": "echo", "payload": payload });
    let tags = |tags: Value| json!({ "task": "answer", "tags": tags });
    for (body, status, code, path) in [
        (json!({ "task": "none" }), 404, "task_not_found", None),
        (
            json!({ "task": "not an id" }),
            400,
            "invalid_body",
            Some("task"),
        ),
        (json!({}), 400, "invalid_body", Some("")),
        (
            json!({ "task": "answer", "colour": "red" }),
            400,
            "unknown_field",
            Some("colour"),
        ),
        (
            json!({ "task": "answer", "payload": 1 }),
            422,
            "payload_not_accepted",
            None,
        ),
        (
            json!({ "task": "answer", "payload": null }),
            422,
            "payload_not_accepted",
            None,
        ),
        (json!({ "task": "echo" }), 422, "payload_invalid", Some("")),
        (
            echo(json!({ "text": 7 })),
            422,
            "payload_invalid",
            Some("text"),
        ),
        (
            echo(json!({ "times": 1 })),
            422,
            "payload_invalid",
            Some("text"),
        ),
        (
            echo(json!({ "text": "a", "times": 0 })),
            422,
            "payload_invalid",
            Some("times"),
        ),
        (
            json!({ "task": "needs-secret" }),
            422,
            "secret_missing",
            None,
        ),
        (
            json!({ "task": "answer", "max_duration_seconds": 4 }),
            400,
            "max_duration_out_of_range",
            None,
        ),
        (
            json!({ "task": "answer", "max_duration_seconds": 86401 }),
            400,
            "max_duration_out_of_range",
            None,
        ),
        (
            json!({ "task": "answer", "ttl": "soon" }),
            400,
            "invalid_body",
            Some("ttl"),
        ),
        (
            json!({ "task": "answer", "ttl": "31d" }),
            400,
            "limit_exceeded",
            Some("ttl"),
        ),
        (
            tags(json!(vec!["t"; 11])),
            400,
            "limit_exceeded",
            Some("tags"),
        ),
        (
            tags(json!(["t".repeat(129)])),
            400,
            "limit_exceeded",
            Some("tags[0]"),
        ),
        (
            json!({ "task": "answer", "metadata": 1 }),
            400,
            "invalid_body",
            Some("metadata"),
        ),
        (
            json!({ "task": "answer", "metadata": { "x": "x".repeat(300 << 10) } }),
            413,
            "metadata_too_large",
            None,
        ),
        (
            json!({ "task": "answer", "external_id": "" }),
            400,
            "limit_exceeded",
            Some("external_id"),
        ),
        (
            json!({ "task": "answer", "expires_at": "2020-01-01T00:00:00Z" }),
            400,
            "limit_exceeded",
            Some("expires_at"),
        ),
        (
            json!({ "task": "answer", "workspace_id": "ws_00000000000000000000000000" }),
            404,
            "workspace_not_found",
            None,
        ),
        (
            echo(json!({ "text": "x".repeat(4 << 20) })),
            413,
            "payload_too_large",
            None,
        ),
        (
            echo(json!({ "text": "x".repeat(6 << 20) })),
            413,
            "payload_too_large",
            None,
        ),
    ] {
        let answer = server.post(SESSIONS, &body).await?;
        let message = answer.text("/error/message")?;
        let details = answer.refused(status, code);
        if let Some(path) = path {
            assert_eq!(details["path"], path, "{body:.100}: {details}");
        }
        if code == "payload_too_large" {
            assert!(message.contains("4 MiB"), "{message}");
        }
    }
    let listed = server.get(SESSIONS).await?.ok().body;
    assert_eq!(listed["items"], json!([]), "nothing was started");
    Ok(())
}

#[tokio::test]
async fn an_external_id_finds_the_open_session_that_was_started_alike() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let body =
        |text: &str| json!({ "task": "echo", "payload": { "text": text }, "external_id": "pr-7" });
    let first = server.post(SESSIONS, &body("a")).await?.ok();
    let again = server.post(SESSIONS, &body("a")).await?.ok();
    assert_eq!(
        (again.status.as_u16(), &again.body["reused"]),
        (200, &json!(true))
    );
    assert_eq!(again.body["session"]["id"], first.body["session"]["id"]);
    assert_eq!(again.body["run"]["id"], first.body["run"]["id"]);
    server
        .post(SESSIONS, &body("b"))
        .await?
        .refused(409, "session_fingerprint_mismatch");
    let found = server
        .get("/api/v1/sessions?external_id=pr-7")
        .await?
        .ok()
        .body;
    assert_eq!(found["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test]
async fn lists_go_on_where_they_ended() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let mut started = Vec::new();
    for _ in 0..5 {
        server.clock.advance(helmr_domain::Duration::from_millis(5));
        started.push(start(server, &json!({ "task": "answer" })).await?.0);
    }
    started.reverse();
    let (mut seen, mut path) = (Vec::new(), format!("{SESSIONS}?limit=2"));
    loop {
        let page = server.get(&path).await?.ok().body;
        for item in page["items"].as_array().into_iter().flatten() {
            seen.push(item["id"].as_str().unwrap_or_default().to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{SESSIONS}?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, started, "newest first, each once");
    let open = server
        .get("/api/v1/sessions?status=open&task=answer")
        .await?
        .ok()
        .body;
    assert_eq!(open["items"].as_array().map(Vec::len), Some(5));
    let closed = server
        .get("/api/v1/sessions?status=closed")
        .await?
        .ok()
        .body;
    assert_eq!(closed["items"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_session_with_an_active_run_is_cancelled_and_not_closed() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, run) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("{SESSIONS}/{session}");
    let details = server
        .post(&format!("{path}/close"), &json!({}))
        .await?
        .refused(409, "session_run_active");
    assert_eq!(details["run_id"], run.as_str());
    for _ in 0..2 {
        let body = json!({ "reason": "no longer needed" });
        let answer = server.post(&format!("{path}/cancel"), &body).await?.ok();
        assert_eq!(answer.body["session"]["status"], "cancelled");
    }
    server
        .post(&format!("{path}/close"), &json!({}))
        .await?
        .refused(409, "session_ended");
    let missing = "/api/v1/sessions/ses_00000000000000000000000000";
    server.get(missing).await?.refused(404, "session_not_found");
    server
        .post(&format!("{missing}/close"), &json!({}))
        .await?
        .refused(404, "session_not_found");
    server
        .get(&format!("{missing}/runs"))
        .await?
        .refused(404, "session_not_found");
    Ok(())
}

#[tokio::test]
async fn tags_and_metadata_are_changed_and_found_by() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (first, _) = start(server, &json!({ "task": "answer", "tags": ["a", "b"] })).await?;
    server.clock.advance(helmr_domain::Duration::from_millis(1));
    let (second, _) = start(server, &json!({ "task": "answer", "tags": ["b"] })).await?;
    let ids = async |query: &str| -> Result<Vec<Value>> {
        let page = server.get(&format!("{SESSIONS}?{query}")).await?.ok().body;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok(items
            .into_iter()
            .map(|session| session["id"].clone())
            .collect())
    };
    assert_eq!(ids("tag=a").await?, [json!(first)]);
    assert_eq!(ids("tag=b").await?, [json!(second), json!(first)]);
    let path = format!("{SESSIONS}/{second}");
    let workspace = server.get(&path).await?.text("/session/workspace_id")?;
    assert_eq!(
        ids(&format!("workspace_id={workspace}")).await?,
        [json!(second)]
    );
    server
        .get(&format!("{SESSIONS}?workspace_id=odd"))
        .await?
        .refused(400, "invalid_query");

    let patched = server
        .patch(&path, &json!({ "tags": ["a"], "metadata": { "n": 1 } }))
        .await?
        .ok();
    assert_eq!(
        (
            &patched.body["session"]["tags"],
            &patched.body["session"]["metadata"]
        ),
        (&json!(["a"]), &json!({ "n": 1 }))
    );
    // What is absent stays as it is.
    let patched = server.patch(&path, &json!({ "tags": [] })).await?.ok();
    assert_eq!(patched.body["session"]["metadata"], json!({ "n": 1 }));
    assert_eq!(ids("tag=a").await?, [json!(first)]);
    for (body, code) in [
        (json!({ "tags": vec!["t"; 11] }), "limit_exceeded"),
        (json!({ "colour": 1 }), "unknown_field"),
        (json!({ "metadata": 1 }), "invalid_body"),
    ] {
        server.patch(&path, &body).await?.refused(400, code);
    }
    let large = json!({ "metadata": { "x": "x".repeat(300 << 10) } });
    server
        .patch(&path, &large)
        .await?
        .refused(413, "metadata_too_large");
    let missing = format!("{SESSIONS}/ses_00000000000000000000000000");
    server
        .patch(&missing, &json!({}))
        .await?
        .refused(404, "session_not_found");
    Ok(())
}

#[tokio::test]
async fn a_sessions_events_are_listed_and_followed_to_its_end() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let (session, run) = start(server, &json!({ "task": "answer" })).await?;
    let path = format!("{SESSIONS}/{session}/events");
    let mut following = crate::following::Following::open(server, &path, None).await?;
    assert_eq!(following.next().await?.data["kind"], "session.opened");
    server
        .patch(
            &format!("{SESSIONS}/{session}"),
            &json!({ "tags": ["late"] }),
        )
        .await?
        .ok();
    assert_eq!(following.next().await?.data["kind"], "metadata.updated");
    let reason = json!({ "reason": "nobody waits for it" });
    let cancelled = server
        .post(&format!("{SESSIONS}/{session}/cancel"), &reason)
        .await?
        .ok();
    assert_eq!(
        cancelled.body["session"]["cancel_reason"],
        "nobody waits for it"
    );
    let told = following.next().await?.data;
    assert_eq!(
        (&told["kind"], &told["attributes"]["message"]),
        (&json!("session.cancelled"), &json!("nobody waits for it"))
    );
    assert_eq!(following.next().await?.name.as_deref(), Some("end"));
    following.ended().await?;
    let run = server.get(&format!("/api/v1/runs/{run}")).await?.ok().body;
    assert_eq!(run["run"]["status"], "cancelled");
    let page = server.get(&format!("{path}?limit=2")).await?.ok().body;
    let rest = server.get(&format!("{path}?cursor=2")).await?.ok().body;
    assert_eq!(
        (&page["next_cursor"], &rest["items"][0]["kind"]),
        (&json!("2"), &json!("session.cancelled"))
    );
    Ok(())
}

#[tokio::test]
async fn a_repeated_start_that_reused_a_session_has_the_same_status() -> Result<()> {
    let deployed = deployed().await?;
    let server = &deployed.server;
    let body = json!({ "task": "answer", "external_id": "thread" });
    let first = server.post(SESSIONS, &body).await?.ok();
    assert_eq!(first.status, 201);
    for replayed in [false, true] {
        let key = [("Idempotency-Key", "again")];
        let answer = server.post_with(SESSIONS, &body, &key).await?.ok();
        assert_eq!(
            (answer.status.as_u16(), &answer.body["reused"]),
            (200, &json!(true))
        );
        assert_eq!(
            answer.headers.contains_key("idempotency-replayed"),
            replayed
        );
    }
    Ok(())
}
