//! A server that says what the test wants, and the binary that asks it.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::{RUN, SESSION};

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A scripted server and a home of its own.
pub(crate) struct Bench {
    pub(crate) url: String,
    pub(crate) home: tempfile::TempDir,
}

impl Bench {
    pub(crate) async fn serve(router: Router) -> Result<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self {
            url,
            home: tempfile::tempdir()?,
        })
    }

    /// A server that refuses everything in one way.
    pub(crate) async fn refusing(status: u16, code: &'static str) -> Result<Self> {
        let answer = move || async move {
            let body = json!({"error": {"code": code, "message": "no", "request_id": "req_1"}});
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, axum::Json(body))
        };
        Self::serve(Router::new().fallback(answer)).await
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> tokio::process::Command {
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

    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        outcome(self.command(arguments)).await
    }
}

pub(crate) async fn outcome(mut command: tokio::process::Command) -> Result<Outcome> {
    let output = tokio::time::timeout(Duration::from_secs(60), command.output())
        .await
        .context("the command took longer than 60 s")??;
    Ok(Outcome {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

pub(crate) fn run(status: &str) -> Value {
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

pub(crate) fn json_of(value: &Value) -> Response {
    ([("content-type", "application/json")], value.to_string()).into_response()
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// `POST /api/v1/tokens?limit=1`.
    pub(crate) line: String,
    pub(crate) key: Option<String>,
    pub(crate) body: Value,
}

pub(crate) fn header(request: &axum::extract::Request, name: &str) -> Option<String> {
    let value = request.headers().get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

pub(crate) type Answers = fn(&str) -> Option<Value>;

/// A server that answers by the request's line, and what it was asked.
pub(crate) async fn recording(answers: Answers) -> Result<(Bench, Arc<Mutex<Vec<Asked>>>)> {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let handler = move |request: axum::extract::Request| {
        let kept = Arc::clone(&kept);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let (key, accept) = (
                header(&request, "idempotency-key"),
                header(&request, "accept"),
            );
            let bytes = axum::body::to_bytes(request.into_body(), 1 << 20)
                .await
                .unwrap_or_default();
            let answer = answers(&line);
            if let Ok(mut kept) = kept.lock() {
                kept.push(Asked {
                    line,
                    key,
                    body: serde_json::from_slice(&bytes).unwrap_or_default(),
                });
            }
            match answer {
                Some(item) if accept.as_deref() == Some("text/event-stream") => {
                    let text = format!("id: 9\ndata: {item}\n\nevent: end\ndata: {{}}\n\n");
                    ([("content-type", "text/event-stream")], text).into_response()
                }
                Some(answer) => json_of(&answer),
                None => StatusCode::IM_A_TEAPOT.into_response(),
            }
        }
    };
    let bench = Bench::serve(Router::new().fallback(handler)).await?;
    Ok((bench, asked))
}

pub(crate) fn all(asked: &Mutex<Vec<Asked>>) -> Vec<Asked> {
    asked.lock().map(|asked| asked.clone()).unwrap_or_default()
}
