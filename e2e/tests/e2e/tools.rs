//! Steps that several tests take.

use std::time::Duration;

use anyhow::Result;
use helmr_e2e::{Server, poll_until};
use serde_json::{Value, json};

/// The first record that the session's task appended to `out`.
pub(crate) async fn first_record(server: &Server, session: &str) -> Result<Value> {
    record(server, session, 0).await
}

/// The record at `index` of the session's `out`.
pub(crate) async fn record(server: &Server, session: &str, index: usize) -> Result<Value> {
    poll_until("a record of the task", Duration::from_secs(60), || async {
        let answer = match server
            .get(&format!("/api/v1/sessions/{session}/outputs/out?limit=200"))
            .await
        {
            Ok(answer) => answer,
            Err(error) => {
                return Ok(Err(format!(
                    "{error:#}; server log:\n{}",
                    server.log_tail()
                )));
            }
        };
        Ok(match &answer["items"][index]["data"] {
            Value::Null => Err(format!("{answer}; server log:\n{}", server.log_tail())),
            data => Ok(data.clone()),
        })
    })
    .await
}

/// Completes a token with the API key and returns status and answer.
pub(crate) async fn complete(server: &Server, token: &Value, data: &Value) -> Result<(u16, Value)> {
    let id = token["id"].as_str().unwrap_or_default();
    server
        .post(
            &format!("/api/v1/tokens/{id}/complete"),
            &json!({"data": data}),
        )
        .await
}

/// The answer to a request that must succeed.
pub(crate) async fn post_ok(server: &Server, path: &str, body: &Value) -> Result<Value> {
    let (status, answer) = server.post(path, body).await?;
    anyhow::ensure!(status < 300, "POST {path}: {status}: {answer}");
    Ok(answer)
}

/// Sends a record to the session's `inbox`.
pub(crate) async fn send(server: &Server, session: &str, body: &Value) -> Result<(u16, Value)> {
    server
        .post(&format!("/api/v1/sessions/{session}/inputs/inbox"), body)
        .await
}

/// Waits until no process of any machine of this server exists.
pub(crate) async fn no_machine_left(server: &Server) -> Result<()> {
    poll_until(
        "all machine processes to be gone",
        Duration::from_secs(20),
        || async {
            let processes = server.machines().processes();
            Ok(if processes.is_empty() {
                Ok(())
            } else {
                Err(format!("{processes:?}"))
            })
        },
    )
    .await
}

/// How often each kind of event is in the run's history.
pub(crate) async fn count_events(server: &Server, run: &str, kind: &str) -> Result<usize> {
    let events = server.events(run).await?;
    Ok(events.iter().filter(|event| event["kind"] == kind).count())
}
