//! Bad input is answered with a code that says what is wrong, and changes nothing.

use anyhow::Result;
use helmr_e2e::{Options, Server};
use serde_json::{Value, json};

use crate::tools::{complete, first_record};

async fn check(
    server: &Server,
    path: &str,
    body: &Value,
    status: u16,
    code: &str,
) -> Result<Value> {
    let (seen, answer) = server.post(path, body).await?;
    assert_eq!(
        (seen, &answer["error"]["code"]),
        (status, &json!(code)),
        "{path} {body}: {answer}"
    );
    assert!(answer["error"]["request_id"].is_string(), "{answer}");
    Ok(answer["error"]["details"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_not_started_on_bad_input() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let sessions = "/api/v1/sessions";
    check(
        &server,
        sessions,
        &json!({"task": "no-such-task"}),
        404,
        "task_not_found",
    )
    .await?;
    let echo = |payload: Value| json!({"task": "echo", "payload": payload});
    let details = check(
        &server,
        sessions,
        &echo(json!({"text": "a", "times": 0})),
        422,
        "payload_invalid",
    )
    .await?;
    assert!(
        details.to_string().contains("times"),
        "the field is named: {details}"
    );
    check(
        &server,
        sessions,
        &echo(json!({"text": 7})),
        422,
        "payload_invalid",
    )
    .await?;
    check(
        &server,
        sessions,
        &json!({"task": "answer", "payload": 1}),
        422,
        "payload_not_accepted",
    )
    .await?;
    check(
        &server,
        sessions,
        &json!({"task": "needs-secret"}),
        422,
        "secret_missing",
    )
    .await?;
    let unknown = check(
        &server,
        sessions,
        &json!({"task": "answer", "colour": "red"}),
        400,
        "unknown_field",
    )
    .await?;
    assert!(unknown.to_string().contains("colour"), "{unknown}");
    let short = json!({"task": "answer", "max_duration_seconds": 4});
    check(&server, sessions, &short, 400, "max_duration_out_of_range").await?;
    let large = echo(json!({"text": "x".repeat(5 << 20)}));
    let (status, answer) = server.post(sessions, &large).await?;
    assert_eq!(status, 413, "{answer}");
    assert!(
        answer["error"]["message"].to_string().contains("MiB"),
        "the limit is named: {answer}"
    );
    let broken = server
        .request(reqwest::Method::POST, sessions)
        .header("content-type", "application/json");
    let broken = broken.body("{\"task\": ").send().await?;
    assert_eq!(broken.status(), 400);
    assert_eq!(
        broken.json::<Value>().await?["error"]["code"],
        "invalid_json"
    );
    let listed = server.get(sessions).await?;
    // The template's own session is the only one.
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "nothing was started: {listed}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_completed_once() -> Result<()> {
    let server = Server::start(Options {
        hot_window: "60s",
        ..Options::default()
    })
    .await?;
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": {}}))
        .await?;
    let token = first_record(&server, &session).await?;
    let (status, first) = complete(&server, &token, &json!({"a": 1, "b": [true]})).await?;
    assert_eq!(
        (status, &first["already_completed"]),
        (200, &json!(false)),
        "{first}"
    );
    let (status, again) = complete(&server, &token, &json!({"b": [true], "a": 1.0})).await?;
    assert_eq!(
        (status, &again["already_completed"]),
        (200, &json!(true)),
        "{again}"
    );
    assert_eq!(
        again["token"]["completed_at"],
        first["token"]["completed_at"]
    );
    let (status, other) = complete(&server, &token, &json!({"a": 2})).await?;
    assert_eq!(
        (status, &other["error"]["code"]),
        (409, &json!("token_completion_conflict")),
        "{other}"
    );
    assert_eq!(
        server.await_output(&run).await?["data"],
        json!({"a": 1, "b": [true]})
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ended_is_not_completed() -> Result<()> {
    let server = Server::start(Options {
        hot_window: "60s",
        ..Options::default()
    })
    .await?;
    let payload = json!({"timeout": "1s"});
    let (session, run) = server
        .start_session(&json!({"task": "waits-for", "payload": payload}))
        .await?;
    let token = first_record(&server, &session).await?;
    let output = server.await_output(&run).await?;
    assert_eq!(
        (&output["ok"], &output["error"]["code"]),
        (&json!(false), &json!("expired")),
        "{output}"
    );
    let (status, answer) = complete(&server, &token, &json!(1)).await?;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (410, &json!("token_expired")),
        "{answer}"
    );

    let (_, created) = server
        .post("/api/v1/tokens", &json!({"timeout": "1h"}))
        .await?;
    let id = created["token"]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let (status, answer) = server
        .post(&format!("/api/v1/tokens/{id}/cancel"), &json!({}))
        .await?;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = complete(&server, &created["token"], &json!(1)).await?;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (410, &json!("token_cancelled")),
        "{answer}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_or_missing_key_and_an_unknown_version_are_refused() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let client = reqwest::Client::new();
    let url = format!("{}/api/v1/runs", server.url());
    let missing = client.get(&url).send().await?;
    assert_eq!(missing.status(), 401);
    assert_eq!(
        missing.json::<Value>().await?["error"]["code"],
        "unauthenticated"
    );
    let wrong = client
        .get(&url)
        .bearer_auth(format!("hlmr_sk_{}", "A".repeat(43)))
        .send()
        .await?;
    assert_eq!(wrong.status(), 401);
    let version = server
        .request(reqwest::Method::GET, "/api/v1/runs")
        .header("Helmr-API-Version", "1999-01-01");
    let version = version.send().await?;
    assert_eq!(version.status(), 400);
    let answer: Value = version.json().await?;
    assert_eq!(answer["error"]["code"], "api_version_unsupported");
    assert!(answer.to_string().contains("2026-06-15"), "{answer}");
    let mut cli = server.cli()?.command(&["run", "list"]);
    let outcome = cli.env("HELMR_API_KEY", "hlmr_sk_wrong").output().await?;
    assert_eq!(
        outcome.status.code(),
        Some(3),
        "the exit code for authentication"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_tells_kinds_of_failure_apart_by_exit_code() -> Result<()> {
    let server = Server::start(Options::default()).await?;
    let cli = server.cli()?;
    let missing = cli
        .run(&["run", "get", "run_00000000000000000000000000"])
        .await?;
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(
        missing.stdout.is_empty() && missing.stderr.contains("error"),
        "{missing:?}"
    );
    assert_eq!(cli.run(&["run", "get"]).await?.code, 2);
    assert_eq!(
        cli.run(&["session", "start", "no-such-task"]).await?.code,
        4
    );
    let failed = cli
        .run(&["session", "start", "throws", "--wait", "--json"])
        .await?;
    assert_eq!(failed.code, 1, "{failed:?}");
    let (_, run) = server
        .start_session(&json!({"task": "waits-for", "payload": {}}))
        .await?;
    assert_eq!(
        cli.run(&["run", "wait", &run, "--timeout", "1s"])
            .await?
            .code,
        124
    );
    Ok(())
}
