//! The binary as a client, against a server that says what the test wants: what goes where, and with which exit code.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Value, json};

const RUN: &str = "run_00000000000000000000000000";
const SESSION: &str = "ses_00000000000000000000000000";

/// What a command left behind.
#[derive(Debug)]
struct Outcome {
    code: i32,
    stdout: String,
    stderr: String,
}

/// A scripted server and a home of its own.
struct Bench {
    url: String,
    home: tempfile::TempDir,
}

impl Bench {
    async fn serve(router: Router) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            url,
            home: tempfile::tempdir()?,
        })
    }

    /// A server that refuses everything in one way.
    async fn refusing(status: u16, code: &'static str) -> Result<Self> {
        let answer = move || async move {
            let body = json!({"error": {"code": code, "message": "no", "request_id": "req_1"}});
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, axum::Json(body))
        };
        Self::serve(Router::new().fallback(answer)).await
    }

    fn command(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_helmr"));
        command
            .args(arguments)
            .env("HOME", self.home.path())
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("HELMR_API_URL", &self.url)
            .env("HELMR_API_KEY", "hlmr_sk_test")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        outcome(self.command(arguments)).await
    }
}

async fn outcome(mut command: tokio::process::Command) -> Result<Outcome> {
    let output = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .context("the command took longer than 60 s")??;
    Ok(Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

fn run(status: &str) -> Value {
    json!({"run": {
        "id": RUN, "session_id": SESSION, "task": "release", "deployment_id": "dep_00000000000000000000000000",
        "deployment_version": "20260601.1", "workspace_id": "ws_00000000000000000000000000", "status": status,
        "reason": "start", "secret_names": [], "max_duration_seconds": 900, "active_seconds": 1.5,
        "attempt_number": 1, "dispatch_attempts": 1, "pending_wait": null,
        "placement": {"state": "live", "reason": null}, "output": null,
        "error": if status == "failed" { json!({"kind": "task_error", "message": "boom"}) } else { Value::Null },
        "exit_code": null, "metadata": {}, "provenance": {}, "created_at": "2026-06-01T00:00:00.000Z",
        "started_at": null, "finished_at": null,
    }})
}

fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

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
