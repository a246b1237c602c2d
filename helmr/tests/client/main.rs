//! The binary as a client, against a server that says what the test wants: what goes where, and with which exit code.

mod bench;
mod workspaces;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::routing::{get, post, put};
use serde_json::{Value, json};

use bench::{Answers, Bench, all, json_of, outcome, recording, run};

const RUN: &str = "run_00000000000000000000000000";
const SESSION: &str = "ses_00000000000000000000000000";

#[tokio::test]
async fn the_exit_code_tells_what_kind_of_failure_it_was() -> Result<()> {
    for (status, code, exit) in [
        (400, "invalid_query", 2),
        (401, "invalid_credential", 3),
        (403, "permission_denied", 3),
        (404, "run_not_found", 4),
        (409, "run_finished", 5),
        (410, "token_expired", 1),
        (422, "payload_invalid", 1),
        (500, "internal", 1),
    ] {
        let outcome = Bench::refusing(status, code)
            .await?
            .run(&["run", "get", RUN])
            .await?;
        assert_eq!(outcome.code, exit, "{code}: {outcome:?}");
        assert!(outcome.stdout.is_empty(), "{outcome:?}");
        assert!(
            outcome.stderr.starts_with("error: no") && outcome.stderr.contains(code),
            "{outcome:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn wrong_words_are_a_usage_error_and_reach_no_server() -> Result<()> {
    let bench = Bench::refusing(500, "internal").await?;
    for words in [
        &["run", "get"][..],
        &["run", "get", "run_1"],
        &["run", "get", SESSION],
        &["run", "wait", RUN, "--timeout", "soon"],
        &["session", "start", "release", "--max-duration", "2"],
        &["session", "start", "release", "--payload", "hello"],
        &["session", "send", SESSION, "a/b", "{}"],
        &["token", "complete", "tok_00000000000000000000000000"],
        &["nonsense"],
    ] {
        let outcome = bench.run(words).await?;
        assert_eq!(outcome.code, 2, "{words:?}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn json_is_the_body_as_it_came() -> Result<()> {
    // Spaces, order and number forms that no parser would keep.
    let body = r#"{ "items" : [ ], "next_cursor":null, "b":1, "a":1.50 }"#;
    let bench =
        Bench::serve(Router::new().route("/api/v1/runs", get(move || async move { body }))).await?;
    let outcome = bench.run(&["run", "list", "--json"]).await?;
    assert_eq!(
        (outcome.code, outcome.stdout.as_str()),
        (0, format!("{body}\n").as_str()),
        "{outcome:?}"
    );
    let outcome = bench.run(&["run", "list"]).await?;
    assert!(
        outcome.stdout.is_empty() && outcome.stderr.contains("No runs yet"),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn waiting_ends_with_the_run_and_its_verdict() -> Result<()> {
    for (status, exit) in [
        ("succeeded", 0),
        ("failed", 1),
        ("cancelled", 1),
        ("expired", 1),
    ] {
        let looked = Arc::new(Mutex::new(0));
        let answer = move || {
            let looked = Arc::clone(&looked);
            async move {
                let mut looked = looked.lock().map_or(0, |mut looked| {
                    *looked += 1;
                    *looked
                });
                looked = looked.min(2);
                json_of(&run(if looked == 1 { "running" } else { status }))
            }
        };
        let event = json!({
            "cursor": "9", "at": "2026-06-01T00:00:00.000Z", "kind": format!("run.{status}"), "run_id": RUN,
            "session_id": null, "workspace_id": null, "attempt_number": 1, "attributes": {},
        });
        let events = move || async move {
            let text = format!("id: 9\ndata: {event}\n\n");
            ([("content-type", "text/event-stream")], text)
        };
        let router = Router::new()
            .route("/api/v1/runs/{id}", get(answer))
            .route("/api/v1/runs/{id}/events", get(events));
        let outcome = Bench::serve(router)
            .await?
            .run(&["run", "wait", RUN, "--json"])
            .await?;
        assert_eq!(outcome.code, exit, "{outcome:?}");
        let printed: Value = serde_json::from_str(&outcome.stdout)?;
        assert_eq!(printed["run"]["status"], status);
    }
    Ok(())
}

#[tokio::test]
async fn waiting_gives_up_after_its_timeout_and_says_where_the_run_is() -> Result<()> {
    let silent = || async {
        let body = Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
        ([("content-type", "text/event-stream")], body)
    };
    let router = Router::new()
        .route(
            "/api/v1/runs/{id}",
            get(|| async { json_of(&run("running")) }),
        )
        .route("/api/v1/runs/{id}/events", get(silent));
    let outcome = Bench::serve(router)
        .await?
        .run(&["run", "wait", RUN, "--timeout", "300ms"])
        .await?;
    assert_eq!(outcome.code, 124, "{outcome:?}");
    assert!(
        outcome.stderr.contains("running") && outcome.stdout.is_empty(),
        "{outcome:?}"
    );
    Ok(())
}

#[tokio::test]
async fn logs_go_where_the_run_wrote_them() -> Result<()> {
    let item = |stream: &str, data: &str, encoding: &str| {
        json!({"cursor": "1", "at": "2026-06-01T00:00:00.000Z", "attempt_number": 1, "stream": stream,
            "data": data, "encoding": encoding, "level": if stream == "logger" { json!("info") } else { Value::Null }})
    };
    let body = json!({"items": [
        item("stdout", "out\n", "utf8"), item("stderr", "err\n", "utf8"),
        item("stdout", "bW9yZQo=", "base64"), item("logger", "reading", "utf8"),
    ], "next_cursor": null});
    let answer = move || async move { json_of(&body) };
    let bench = Bench::serve(Router::new().route("/api/v1/runs/{id}/logs", get(answer))).await?;
    let outcome = bench.run(&["run", "logs", RUN]).await?;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome.stdout.starts_with("out\nmore\n") && outcome.stdout.contains("INFO   reading"),
        "{outcome:?}"
    );
    assert_eq!(outcome.stderr, "err\n");
    Ok(())
}

#[tokio::test]
async fn a_folder_is_uploaded_once_and_named() -> Result<()> {
    let uploads = Arc::new(Mutex::new(Vec::<(String, usize)>::new()));
    let kept = Arc::clone(&uploads);
    let missing = {
        let kept = Arc::clone(&uploads);
        move |axum::Json(body): axum::Json<Value>| async move {
            let has = kept.lock().map_or(0, |kept| kept.len()) > 0;
            let missing = if has {
                json!([])
            } else {
                body["sha256"].clone()
            };
            json_of(&json!({"missing": missing}))
        }
    };
    let upload = move |axum::extract::Path(sum): axum::extract::Path<String>,
                       Query(query): Query<Vec<(String, String)>>,
                       bytes: bytes::Bytes| async move {
        if let Ok(mut kept) = kept.lock() {
            kept.push((format!("{sum} {query:?}"), bytes.len()));
        }
        json_of(&json!({"upload": {"sha256": sum, "size_bytes": bytes.len()}}))
    };
    let import = |axum::Json(body): axum::Json<Value>| async move {
        json_of(
            &json!({"image": {"id": "img_00000000000000000000000000", "name": body["name"],
            "digest": "sha256:00", "size_bytes": 1, "created_at": "2026-06-01T00:00:00.000Z"}}),
        )
    };
    let router = Router::new()
        .route("/api/v1/uploads/missing", post(missing))
        .route("/api/v1/uploads/{sha256}", put(upload))
        .route("/api/v1/images", post(import));
    let bench = Bench::serve(router).await?;
    let root = tempfile::tempdir()?;
    std::fs::write(root.path().join("motd"), "hello")?;
    let path = root.path().to_string_lossy().into_owned();
    for _ in 0..2 {
        let outcome = bench
            .run(&["image", "import", "--name", "tiny:1", &path, "--json"])
            .await?;
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let printed: Value = serde_json::from_str(&outcome.stdout)?;
        assert_eq!(printed["image"]["name"], "tiny:1");
    }
    let uploads = uploads
        .lock()
        .map_or_else(|_| Vec::new(), |uploads| uploads.clone());
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert!(
        uploads[0].0.contains("\"kind\", \"image\"") && uploads[0].1 > 1024,
        "{uploads:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_server_is_found_by_profile_then_environment_then_default_profile() -> Result<()> {
    let bench = Bench::refusing(404, "run_not_found").await?;
    let write = |text: &str| -> Result<()> {
        let path = bench.home.path().join("config/helmr/config.toml");
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        std::fs::write(&path, text)?;
        Ok(std::fs::set_permissions(
            &path,
            std::fs::Permissions::from_mode(0o600),
        )?)
    };
    let alone = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        command
            .env_remove("HELMR_API_URL")
            .env_remove("HELMR_API_KEY");
        command
    };
    let nothing = outcome(alone(&["run", "get", RUN])).await?;
    assert_eq!(nothing.code, 3, "{nothing:?}");
    assert!(nothing.stderr.contains("helmr up"), "{nothing:?}");

    let url = &bench.url;
    write(&format!(
        "default_profile = \"good\"\n[profiles.good]\napi_url = \"{url}\"\napi_key = \"k\"\n[profiles.bad]\napi_url = \"http://127.0.0.1:1\"\napi_key = \"k\"\n"
    ))?;
    assert_eq!(
        outcome(alone(&["run", "get", RUN])).await?.code,
        4,
        "the default profile"
    );
    let mut other = alone(&["run", "get", RUN]);
    other
        .env("HELMR_API_URL", "http://127.0.0.1:1")
        .env("HELMR_API_KEY", "k");
    assert_eq!(
        outcome(other).await?.code,
        1,
        "the environment before the default profile"
    );
    assert_eq!(
        bench
            .run(&["run", "get", RUN, "--profile", "bad"])
            .await?
            .code,
        1,
        "--profile before the environment"
    );
    let mut half = alone(&["run", "get", RUN]);
    half.env("HELMR_API_KEY", "k");
    let half = outcome(half).await?;
    assert!(
        half.code == 3 && half.stderr.contains("HELMR_API_URL is not"),
        "{half:?}"
    );
    Ok(())
}

#[tokio::test]
async fn completions_know_the_commands() -> Result<()> {
    let bench = Bench::refusing(500, "internal").await?;
    for shell in ["bash", "zsh", "fish"] {
        let outcome = bench.run(&["completions", shell]).await?;
        assert_eq!(outcome.code, 0, "{outcome:?}");
        assert!(
            outcome.stdout.contains("helmr") && outcome.stdout.contains("session"),
            "{shell}"
        );
        assert!(
            !outcome.stdout.contains("reference"),
            "hidden commands stay hidden in {shell}"
        );
    }
    Ok(())
}

fn session() -> Value {
    json!({
        "id": SESSION, "external_id": null, "task": "release", "deployment_id": "dep_00000000000000000000000000",
        "workspace_id": "ws_00000000000000000000000000", "status": "open", "activity": "idle", "current_run_id": null,
        "metadata": {}, "tags": ["a"], "expires_at": null, "result": null, "error": null,
        "created_at": "2026-06-01T00:00:00.000Z", "ended_at": null,
    })
}

fn record() -> Value {
    json!({
        "id": "rec_00000000000000000000000000", "sequence": 3, "data": {"text": "hi"}, "correlation_id": null,
        "content_type": "application/json", "created_at": "2026-06-01T00:00:00.000Z",
        "position": 7, "direction": "input", "stream": "inbox", "run_id": RUN,
    })
}

#[tokio::test]
async fn a_records_key_stands_in_its_body_and_each_request_has_one_of_its_own() -> Result<()> {
    let (bench, asked) =
        recording(|_| Some(json!({"record": record(), "started_run_id": null}))).await?;
    for _ in 0..2 {
        let words = [
            "session",
            "send",
            SESSION,
            "inbox",
            "{}",
            "--idempotency-key",
            "k",
        ];
        let outcome = bench.run(&words).await?;
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    let asked = all(&asked);
    let path = format!("POST /api/v1/sessions/{SESSION}/inputs/inbox");
    assert!(
        asked
            .iter()
            .all(|asked| asked.line == path && asked.body["idempotency_key"] == "k"),
        "{asked:?}"
    );
    let keys: Vec<_> = asked.iter().map(|asked| asked.key.clone()).collect();
    assert!(
        keys[0].is_some() && keys[0] != keys[1] && keys[0].as_deref() != Some("k"),
        "{keys:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_start_and_a_retry_may_wait_for_the_end() -> Result<()> {
    let answers: Answers = |line| {
        let run = run("succeeded");
        Some(if line == "POST /api/v1/sessions" {
            json!({"session": session(), "run": run["run"], "reused": false})
        } else if line.starts_with("GET /api/v1/sessions/") {
            json!({"session": session()})
        } else {
            run
        })
    };
    let (bench, asked) = recording(answers).await?;
    let words = [
        "session",
        "start",
        "release",
        "--expires-at",
        "2026-06-01T18:00:00+02:00",
        "--priority",
        "5",
        "--concurrency-key",
        "customer-1",
        "--wait",
        "--json",
    ];
    let outcome = bench.run(&words).await?;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let printed: Value = serde_json::from_str(&outcome.stdout)?;
    assert_eq!(
        (&printed["run"]["status"], &printed["session"]["id"]),
        (&json!("succeeded"), &json!(SESSION))
    );
    let body = &all(&asked)[0].body;
    assert_eq!(
        (
            &body["expires_at"],
            &body["priority"],
            &body["concurrency_key"]
        ),
        (
            &json!("2026-06-01T16:00:00.000Z"),
            &json!(5),
            &json!("customer-1")
        )
    );

    let words = ["run", "retry", RUN, "--wait", "--idempotency-key", "again"];
    let outcome = bench.run(&words).await?;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let asked = all(&asked);
    let retried = asked.iter().find(|asked| asked.line.ends_with("/retry"));
    let retried = retried.context("no retry")?;
    assert_eq!(
        (retried.line.as_str(), retried.key.as_deref()),
        (
            format!("POST /api/v1/runs/{RUN}/retry").as_str(),
            Some("again")
        )
    );
    Ok(())
}

#[tokio::test]
async fn a_start_that_waits_fails_with_its_run() -> Result<()> {
    let answers: Answers = |line| {
        let run = run("failed");
        Some(if line == "POST /api/v1/sessions" {
            json!({"session": session(), "run": run["run"], "reused": false})
        } else if line.starts_with("GET /api/v1/sessions/") {
            json!({"session": session()})
        } else {
            run
        })
    };
    let (bench, _) = recording(answers).await?;
    let outcome = bench
        .run(&["session", "start", "release", "--wait"])
        .await?;
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("task_error: boom"), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn a_public_access_token_is_made_for_one_thing_and_shown_once() -> Result<()> {
    let answers: Answers = |line| {
        let token = json!({
            "id": "pat_00000000000000000000000000", "max_uses": 2, "uses": 0, "allowed_origins": [],
            "capability": {"kind": "token", "token_id": "tok_00000000000000000000000000"},
            "expires_at": null, "revoked_at": null, "created_at": "2026-06-01T00:00:00.000Z",
        });
        Some(if line.starts_with("GET /api/v1/public-tokens?") {
            json!({"items": [token], "next_cursor": null})
        } else {
            json!({"public_token": token, "secret": "hlmr_pat_x"})
        })
    };
    let (bench, asked) = recording(answers).await?;
    let outcome = bench
        .run(&[
            "public-token",
            "create",
            "--session",
            SESSION,
            "--input",
            "inbox",
            "--correlation-id",
            "a",
            "--expires-in",
            "1h",
            "--max-uses",
            "2",
            "--allow-origin",
            "https://app.example.com",
        ])
        .await?;
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(
        outcome.stdout.contains("hlmr_pat_x") && outcome.stderr.contains("this once"),
        "{outcome:?}"
    );
    assert_eq!(
        all(&asked)[0].body,
        json!({
            "capability": {"kind": "stream", "session_id": SESSION, "stream": "inbox", "direction": "input",
                "correlation_id": "a"},
            "expires_in": "1h", "max_uses": 2, "allowed_origins": ["https://app.example.com"],
        })
    );
    let id = "pat_00000000000000000000000000";
    for words in [
        &["public-token", "get", id][..],
        &["public-token", "revoke", id],
        &["public-token", "list", "--session", SESSION],
    ] {
        let outcome = bench.run(words).await?;
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
        assert!(outcome.stdout.contains(id), "{outcome:?}");
    }
    let lines: Vec<_> = all(&asked).into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines[1..],
        [
            format!("GET /api/v1/public-tokens/{id}"),
            format!("POST /api/v1/public-tokens/{id}/revoke"),
            format!("GET /api/v1/public-tokens?limit=50&session_id={SESSION}"),
        ]
    );
    for words in [
        &["public-token", "create"][..],
        &["public-token", "create", "--session", SESSION],
        &["public-token", "create", "--input", "inbox"],
        &[
            "public-token",
            "create",
            "--session",
            SESSION,
            "--output",
            "out",
            "--max-uses",
            "1",
        ],
    ] {
        let outcome = bench.run(words).await?;
        assert_eq!(outcome.code, 2, "{words:?}: {outcome:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_transcript_shows_both_directions_and_is_followed() -> Result<()> {
    let answers: Answers = |line| {
        Some(if line.contains("/transcript?limit") {
            json!({"items": [record()], "next_cursor": null})
        } else if line.contains("/transcript") {
            record()
        } else {
            json!({"session": session()})
        })
    };
    let (bench, asked) = recording(answers).await?;
    let words = [
        "session",
        "transcript",
        SESSION,
        "--direction",
        "input",
        "--stream",
        "inbox",
        "--cursor",
        "6",
    ];
    let listed = bench.run(&words).await?;
    assert_eq!(listed.code, 0, "{listed:?}");
    assert!(
        listed
            .stdout
            .contains("7  2026-06-01T00:00:00.000Z  > inbox  {\"text\":\"hi\"}"),
        "{listed:?}"
    );
    let followed = bench
        .run(&["session", "transcript", SESSION, "--follow"])
        .await?;
    assert_eq!(
        (followed.code, &followed.stdout),
        (0, &listed.stdout),
        "{followed:?}"
    );
    let lines: Vec<_> = all(&asked).into_iter().map(|asked| asked.line).collect();
    let path = format!("GET /api/v1/sessions/{SESSION}/transcript");
    assert_eq!(
        [&lines[0], &lines[2]],
        [
            &format!("{path}?limit=50&cursor=6&direction=input&stream=inbox"),
            &path
        ]
    );
    Ok(())
}

#[tokio::test]
async fn sessions_and_tokens_are_changed_and_found() -> Result<()> {
    let answers: Answers = |line| {
        Some(if line.starts_with("PATCH") {
            json!({"session": session()})
        } else {
            json!({"items": [], "next_cursor": null})
        })
    };
    let (bench, asked) = recording(answers).await?;
    let workspace = "ws_00000000000000000000000000";
    for words in [
        &[
            "session",
            "update",
            SESSION,
            "--tag",
            "a",
            "--metadata",
            "{\"n\":1}",
        ][..],
        &["session", "update", SESSION, "--no-tags"],
        &["session", "list", "--tag", "a b", "--workspace", workspace],
        &["token", "list", "--tag", "a", "--session", SESSION],
        &["session", "events", SESSION],
        &["run", "logs", RUN, "--stream", "stdout", "--offset", "9"],
    ] {
        let outcome = bench.run(words).await?;
        assert_eq!(outcome.code, 0, "{words:?}: {outcome:?}");
    }
    let asked = all(&asked);
    assert_eq!(
        [&asked[0].body, &asked[1].body],
        [
            &json!({"tags": ["a"], "metadata": {"n": 1}}),
            &json!({"tags": []})
        ]
    );
    let lines: Vec<_> = asked[2..].iter().map(|asked| asked.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            format!("GET /api/v1/sessions?limit=50&tag=a+b&workspace_id={workspace}"),
            format!("GET /api/v1/tokens?limit=50&session_id={SESSION}&tag=a"),
            format!("GET /api/v1/sessions/{SESSION}/events?limit=200"),
            format!("GET /api/v1/runs/{RUN}/logs?limit=200&stream=stdout&offset=9"),
        ]
    );
    for words in [
        &["session", "update", SESSION][..],
        &["run", "logs", RUN, "--offset", "9"],
    ] {
        let outcome = bench.run(words).await?;
        assert_eq!(outcome.code, 2, "{words:?}: {outcome:?}");
    }
    Ok(())
}
