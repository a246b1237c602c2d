//! `helmr workspace`: what goes where.

use anyhow::Result;
use serde_json::{Value, json};

use crate::bench::{Answers, Bench, all, recording};

const WORKSPACE: &str = "ws_00000000000000000000000000";
const VERSION: &str = "wsv_00000000000000000000000000";

fn workspace(state: &str) -> Value {
    json!({
        "id": WORKSPACE, "external_id": "repo", "sandbox": null, "deployment_id": null, "state": state,
        "mount_path": "/workspace", "current_version_id": VERSION, "size_bytes": 2048, "metadata": {}, "tags": ["a"],
        "auto_stop_after": null, "last_activity_at": "2026-06-01T00:00:00.000Z",
        "created_at": "2026-06-01T00:00:00.000Z", "placement_reason": null,
        "machine_requested_at": null,
        "materialization": {
            "id": "mat_00000000000000000000000000", "state": "live", "reason": null, "stop_requested": true,
            "worker_id": "wkr_00000000000000000000000000", "driver": "gvisor", "checkpoint_size_bytes": null,
            "requested_at": "2026-06-01T00:00:00.000Z", "started_at": "2026-06-01T00:00:00.000Z",
            "parked_at": null, "ended_at": null,
        },
    })
}

fn version() -> Value {
    json!({
        "id": VERSION, "workspace_id": WORKSPACE, "parent_id": null, "kind": "auto", "message": null,
        "size_bytes": 2048, "changed_bytes": 12, "current": true, "created_at": "2026-06-01T00:00:00.000Z",
    })
}

fn connection() -> Value {
    json!({
        "workspace_id": WORKSPACE, "materialization_id": "mat_00000000000000000000000000",
        "mount_path": "/workspace", "stays_for": "5m",
        "urls": { "workspace": "http://h/w", "execs": "http://h/w/execs", "ptys": "http://h/w/ptys", "files": "http://h/w/files" },
    })
}

fn fork() -> Value {
    json!({
        "live": true, "from_workspace_id": WORKSPACE, "from_version_id": VERSION, "memory_copied": true,
        "secrets_copied": ["API_KEY"],
        "sessions": [{
            "from_session_id": "ses_00000000000000000000000000", "session_id": "ses_00000000000000000000000001",
            "from_run_id": "run_00000000000000000000000000", "run_id": "run_00000000000000000000000001",
        }],
    })
}

const ANSWERS: Answers = |line| {
    let list = |item| json!({"items": [item], "next_cursor": null});
    Some(if line.contains("/fork") {
        json!({"workspace": workspace("active"), "fork": fork()})
    } else if line.contains("/connect") {
        json!({"connection": connection(), "workspace": workspace("active")})
    } else if line.contains("/versions/") {
        json!({"version": version()})
    } else if line.contains("/versions") {
        list(version())
    } else if line.starts_with("GET /api/v1/workspaces?") {
        list(workspace("active"))
    } else {
        json!({"workspace": workspace("recovery_required")})
    })
};

#[tokio::test]
async fn a_workspace_is_made_found_changed_and_ended() -> Result<()> {
    let (bench, asked) = recording(ANSWERS).await?;
    for words in [
        &[
            "create",
            "--sandbox",
            "node",
            "--external-id",
            "repo",
            "--tag",
            "a",
            "--metadata",
            "{\"n\":1}",
            "--auto-stop-after",
            "30m",
            "--idempotency-key",
            "k",
        ][..],
        &["create"],
        &[
            "list",
            "--tag",
            "a",
            "--state",
            "recovery_required",
            "--sandbox",
            "node",
            "--external-id",
            "repo",
        ],
        &["get", WORKSPACE],
        &[
            "update",
            WORKSPACE,
            "--no-external-id",
            "--usual-auto-stop",
            "--no-tags",
        ],
        &[
            "update",
            WORKSPACE,
            "--external-id",
            "x",
            "--auto-stop-after",
            "1h",
        ],
        &["stop", WORKSPACE],
        &["stop", WORKSPACE, "--force"],
        &["delete", WORKSPACE],
        &["delete", WORKSPACE, "--force"],
        &["recover", WORKSPACE],
        &["recover", WORKSPACE, "--from", "last-version"],
        &["materialize", WORKSPACE],
        &["connect", WORKSPACE],
        &["connect", WORKSPACE, "--timeout", "2m"],
        &[
            "fork",
            WORKSPACE,
            "--version",
            VERSION,
            "--external-id",
            "b",
            "--tag",
            "t",
        ],
        &["fork", WORKSPACE, "--live", "--idempotency-key", "f"],
        &["archive", WORKSPACE],
        &["archive", WORKSPACE, "--force"],
        &["unarchive", WORKSPACE],
        &["versions", WORKSPACE, "--limit", "2"],
        &["versions", WORKSPACE, VERSION],
    ] {
        let words = [&["workspace"], words].concat();
        let outcome = bench.run(&words).await?;
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
    }
    let asked = all(&asked);
    let at = |rest: &str| format!("/api/v1/workspaces{rest}");
    let one = |rest: &str| at(&format!("/{WORKSPACE}{rest}"));
    let expected = [
        (
            format!("POST {}", at("")),
            json!({"sandbox": "node", "external_id": "repo", "tags": ["a"],
            "metadata": {"n": 1}, "auto_stop_after": "30m"}),
        ),
        (format!("POST {}", at("")), json!({})),
        (
            format!(
                "GET {}",
                at("?limit=50&state=recovery_required&sandbox=node&external_id=repo&tag=a")
            ),
            Value::Null,
        ),
        (format!("GET {}", one("")), Value::Null),
        (
            format!("PATCH {}", one("")),
            json!({"external_id": null, "auto_stop_after": null, "tags": []}),
        ),
        (
            format!("PATCH {}", one("")),
            json!({"external_id": "x", "auto_stop_after": "1h"}),
        ),
        (format!("POST {}", one("/stop")), json!({"force": false})),
        (format!("POST {}", one("/stop")), json!({"force": true})),
        (format!("DELETE {}", one("")), Value::Null),
        (format!("DELETE {}", one("?force=true")), Value::Null),
        // Without a choice nothing is changed.
        (format!("GET {}", one("")), Value::Null),
        (
            format!("POST {}", one("/recover")),
            json!({"from": "last_version"}),
        ),
        (format!("POST {}", one("/materialize")), json!({})),
        (format!("POST {}", one("/connect")), json!({})),
        (
            format!("POST {}", one("/connect")),
            json!({"timeout": "2m"}),
        ),
        (
            format!("POST {}", one("/fork")),
            json!({"version_id": VERSION, "live": false, "external_id": "b", "tags": ["t"]}),
        ),
        (format!("POST {}", one("/fork")), json!({"live": true})),
        (format!("POST {}", one("/archive")), json!({"force": false})),
        (format!("POST {}", one("/archive")), json!({"force": true})),
        (format!("POST {}", one("/unarchive")), json!({})),
        (format!("GET {}", one("/versions?limit=2")), Value::Null),
        (
            format!("GET {}", one(&format!("/versions/{VERSION}"))),
            Value::Null,
        ),
    ];
    let seen: Vec<_> = asked
        .iter()
        .map(|asked| (asked.line.clone(), asked.body.clone()))
        .collect();
    assert_eq!(seen, expected);
    assert_eq!(asked[0].key.as_deref(), Some("k"));
    assert!(asked[1].key.is_some());
    Ok(())
}

#[tokio::test]
async fn people_see_a_workspace_with_its_machine_and_what_they_can_choose() -> Result<()> {
    let (bench, _) = recording(ANSWERS).await?;
    let shown = bench.run(&["workspace", "get", WORKSPACE]).await?.stdout;
    for part in [
        "recovery_required",
        "live (told to stop)",
        "5m (usual)",
        "(default)",
        VERSION,
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let shown = bench
        .run(&["workspace", "recover", WORKSPACE])
        .await?
        .stdout;
    assert!(
        shown.contains("--from last-version") && shown.contains("do nothing"),
        "{shown}"
    );
    let shown = bench.run(&["workspace", "list"]).await?.stdout;
    assert!(
        shown.starts_with("ID") && shown.contains("repo") && shown.contains("2.0 KiB"),
        "{shown}"
    );
    let shown = bench
        .run(&["workspace", "fork", WORKSPACE, "--live"])
        .await?
        .stdout;
    for part in [
        "ses_00000000000000000000000001",
        "Memory was copied",
        "API_KEY",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let shown = bench
        .run(&["workspace", "connect", WORKSPACE])
        .await?
        .stdout;
    assert!(shown.contains("http://h/w/execs"), "{shown}");
    let shown = bench
        .run(&["workspace", "versions", WORKSPACE])
        .await?
        .stdout;
    assert!(
        shown.contains("auto (current)") && shown.contains("12 B"),
        "{shown}"
    );
    let json = bench
        .run(&["workspace", "get", WORKSPACE, "--json"])
        .await?
        .stdout;
    assert_eq!(
        serde_json::from_str::<Value>(&json)?["workspace"],
        workspace("recovery_required")
    );
    Ok(())
}

#[tokio::test]
async fn a_busy_workspace_is_a_conflict_with_advice() -> Result<()> {
    let bench = Bench::refusing(409, "workspace_busy").await?;
    let outcome = bench.run(&["workspace", "delete", WORKSPACE]).await?;
    assert_eq!(outcome.code, 5, "{outcome:?}");
    assert!(
        outcome.stderr.contains("workspace_busy") && outcome.stderr.contains("--force"),
        "{outcome:?}"
    );
    // Nothing to change is a mistake.
    let outcome = bench.run(&["workspace", "update", WORKSPACE]).await?;
    assert_eq!(outcome.code, 2, "{outcome:?}");
    let outcome = bench
        .run(&["workspace", "get", "ses_00000000000000000000000000"])
        .await?;
    assert_eq!(outcome.code, 2, "{outcome:?}");
    Ok(())
}
