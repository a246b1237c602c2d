//! The runtime's channel: JSON lines between a task's runtime and the worker.
//!
//! What comes from inside was written by whoever holds the descriptor, which may be the task itself: a line that is not
//! exactly as agreed is [`Garbage`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::worker::{Outcome, StopOrder};
use helmr_domain::{RunId, SessionId, WorkspaceId};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a runtime says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Said {
    /// The module is loaded and the payload checked: task code runs from here on.
    Started,
    Call {
        id: u64,
        op: String,
        #[serde(default)]
        args: Value,
    },
    Entry(Entry),
    Finished {
        /// Absent if the task returned nothing; `null` is a value.
        #[serde(default, deserialize_with = "present")]
        output: Option<Value>,
        /// Calls of waits whose answer task code did not get.
        #[serde(default)]
        untaken: Vec<u64>,
    },
    Failed {
        error: TaskError,
        #[serde(default)]
        untaken: Vec<u64>,
    },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Entry {
    pub(crate) level: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) fields: Option<Value>,
    #[serde(default)]
    pub(crate) at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct TaskError {
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) stack: Option<String>,
}

fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// A line that no runtime writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Garbage {
    #[error("the task wrote to the runtime's channel")]
    NotALine,
    #[error("the task wrote {bytes} bytes to the runtime's channel in one line")]
    TooLong { bytes: u64 },
}

/// Reads one line. `cut_from_bytes` is set if only its beginning came through.
pub(crate) fn read(line: &[u8], cut_from_bytes: Option<u64>) -> Result<Said, Garbage> {
    if let Some(bytes) = cut_from_bytes {
        return Err(Garbage::TooLong { bytes });
    }
    serde_json::from_slice(line).map_err(|_| Garbage::NotALine)
}

/// The answer to a call that was granted.
pub(crate) fn answer(call_no: u64, data: Value) -> Vec<u8> {
    line(&json!({"type": "answer", "id": call_no, "ok": true, "data": data}))
}

/// The answer to a call that was refused.
pub(crate) fn refusal(call_no: u64, code: &str, message: &str, details: Option<Value>) -> Vec<u8> {
    let mut error = json!({"code": code, "message": message});
    if let Some(details) = details {
        error["details"] = details;
    }
    line(&json!({"type": "answer", "id": call_no, "ok": false, "error": error}))
}

/// The answer to a wait: how it ended.
pub(crate) fn outcome(call_no: u64, outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Ok { data, .. } => answer(call_no, data.clone()),
        Outcome::Err { error, .. } => refusal(call_no, &error.code, &error.message, None),
    }
}

/// The answer to a wait whose condition was met already: its outcome, as the control plane wrote it.
pub(crate) fn met(call_no: u64, answer: Value) -> Vec<u8> {
    match serde_json::from_value::<Outcome>(answer.clone()) {
        Ok(met) => outcome(call_no, &met),
        Err(_) => self::answer(call_no, answer),
    }
}

/// Tells the task to stop, and how long it has.
pub(crate) fn cancel(stop: &StopOrder, grace_ms: u64) -> Vec<u8> {
    // To the task a cancelled session is a cancellation like any other.
    let code = match stop.reason.as_str() {
        known @ ("max_duration" | "session_expired") => known,
        _ => "cancelled",
    };
    line(&json!({
        "type": "cancel",
        "reason": {"code": code, "message": stop.message},
        "grace_ms": grace_ms,
    }))
}

/// Tells the runtime that it was restored, what time it is, and new randomness: a second restore of the same memory would
/// otherwise draw the same numbers. `ids`: who it is; in a copy of another machine, others than before.
pub(crate) fn resumed(now_ms: u64, reseed: [u8; 32], ids: Option<&Ids>) -> Vec<u8> {
    let mut document =
        json!({"type": "resumed", "now_ms": now_ms, "reseed": STANDARD.encode(reseed)});
    if let Some(ids) = ids {
        document["ids"] = json!({
            "run": ids.run, "session": ids.session, "workspace": ids.workspace,
        });
    }
    line(&document)
}

/// What a task is told of who it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ids {
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) workspace: WorkspaceId,
}

fn line(document: &Value) -> Vec<u8> {
    document.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Said, Garbage>) {
        assert_eq!(read(text.as_bytes(), None), expected, "{text}");
    }

    #[test]
    fn the_lines_of_a_runtime_are_read() {
        check(r#"{"type":"started"}"#, Ok(Said::Started));
        check(
            r#"{"type":"call","id":3,"op":"wait","args":{"kind":"timer"}}"#,
            Ok(Said::Call {
                id: 3,
                op: "wait".to_owned(),
                args: json!({"kind": "timer"}),
            }),
        );
        check(
            r#"{"type":"finished"}"#,
            Ok(Said::Finished {
                output: None,
                untaken: Vec::new(),
            }),
        );
        check(
            r#"{"type":"finished","output":null,"untaken":[3,5]}"#,
            Ok(Said::Finished {
                output: Some(Value::Null),
                untaken: vec![3, 5],
            }),
        );
    }

    #[test]
    fn anything_else_is_garbage() {
        for text in [
            "",
            "hello",
            "{}",
            "[1]",
            r#"{"type":"hello"}"#,
            r#"{"type":"call","id":-1,"op":"x"}"#,
            r#"{"type":"call","id":1}"#,
            "{\"type\":\"started\"}\u{0}",
        ] {
            check(text, Err(Garbage::NotALine));
        }
        assert_eq!(
            read(br#"{"type":"started"}"#, Some(9_000_000)),
            Err(Garbage::TooLong { bytes: 9_000_000 })
        );
    }

    #[test]
    fn a_stop_has_its_reason_and_the_words_of_whoever_ordered_it() -> anyhow::Result<()> {
        for (reason, code) in [
            ("cancelled", "cancelled"),
            ("session_cancelled", "cancelled"),
            ("session_expired", "session_expired"),
            ("max_duration", "max_duration"),
        ] {
            let stop = StopOrder {
                reason: reason.to_owned(),
                message: "superseded".to_owned(),
                kill_in_ms: 10_000,
            };
            let told: Value = serde_json::from_slice(&cancel(&stop, 9_000))?;
            let expected = json!({"code": code, "message": "superseded"});
            assert_eq!(
                (&told["reason"], &told["grace_ms"]),
                (&expected, &json!(9_000))
            );
        }
        Ok(())
    }

    #[test]
    fn an_outcome_is_the_answer_of_its_call() -> anyhow::Result<()> {
        let granted: Value = serde_json::from_slice(&outcome(4, &Outcome::ok(json!({"a": 1}))))?;
        assert_eq!(
            granted,
            json!({"type": "answer", "id": 4, "ok": true, "data": {"a": 1}})
        );
        let late = Outcome::err("timeout", "the wait timed out".to_owned());
        let late: Value = serde_json::from_slice(&outcome(5, &late))?;
        assert_eq!(late["error"]["code"], "timeout");
        assert_eq!(late["ok"], false);
        Ok(())
    }
}
