//! What people see of each noun: a list, a line per thing, and one thing with its properties.

pub(crate) mod deployment;
pub(crate) mod diff;
pub(crate) mod event;
pub(crate) mod exec;
pub(crate) mod file;
pub(crate) mod image;
pub(crate) mod log;
pub(crate) mod pty;
pub(crate) mod public_token;
pub(crate) mod quota;
pub(crate) mod run;
pub(crate) mod sandbox;
pub(crate) mod scope;
pub(crate) mod session;
pub(crate) mod storage;
pub(crate) mod stream;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod worker;
pub(crate) mod workspace;

use helmr_api::http::value::Time;
use serde::Serialize;
use serde_json::Value;

use crate::moment;

/// A value of a closed set, as it stands on the wire.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(text)) => text,
        _ => String::new(),
    }
}

fn ago(at: Time) -> String {
    moment::relative(at, crate::now())
}

/// A time, and how far it is from now.
fn when(at: Time) -> String {
    format!("{at} ({})", ago(at))
}

/// JSON over several lines, for people.
fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// JSON on one line.
fn compact(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// A JSON value that says something.
fn told(value: &Value) -> Option<String> {
    let silent = match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    (!silent).then(|| pretty(value))
}

fn joined(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(", "))
}
