//! Events.

use helmr_api::http::events::Event;
use serde_json::Value;

use super::compact;
use crate::style::{Paint, Style};

/// Whether a run's events end with this kind.
pub(crate) fn ends_a_run(kind: &str) -> bool {
    [
        "run.succeeded",
        "run.failed",
        "run.cancelled",
        "run.expired",
    ]
    .contains(&kind)
}

pub(crate) fn list(events: &[Event], style: Style) -> String {
    events.iter().map(|event| one(event, style)).collect()
}

/// `2026-06-01T00:00:00.250Z  run.started        attempt=1`.
pub(crate) fn one(event: &Event, style: Style) -> String {
    let kind = format!("{:<20}", event.kind);
    let kind = match paint(&event.kind) {
        Some(paint) => style.paint(paint, &kind),
        None => kind,
    };
    let at = style.paint(Paint::Faint, &event.at.to_string());
    let line = format!("{at}  {kind}  {}", attributes(&event.attributes));
    format!("{}\n", line.trim_end())
}

fn paint(kind: &str) -> Option<Paint> {
    let (_, what) = kind.split_once('.')?;
    match what {
        "succeeded" | "resolved" | "completed" | "deployed" => Some(Paint::Good),
        "failed" | "worker_lost" | "timed_out" => Some(Paint::Bad),
        "started" | "resumed" | "leased" => Some(Paint::Busy),
        "waiting" | "parked" | "moving" | "cancel_requested" | "retry_scheduled" => {
            Some(Paint::Waiting)
        }
        "cancelled" | "expired" => Some(Paint::Faint),
        _ => None,
    }
}

/// `name=value`, on one line.
fn attributes(value: &Value) -> String {
    let Value::Object(map) = value else {
        return String::new();
    };
    let words: Vec<String> = map
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) if !text.is_empty() && !text.contains([' ', '"', '\n']) => {
                format!("{name}={text}")
            }
            _ => format!("{name}={}", compact(value)),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stand_on_one_line() {
        let value =
            serde_json::json!({"a": "x", "b": "two words", "c": 3, "d": null, "e": {"f": [1]}});
        assert_eq!(attributes(&value), "a=x b=\"two words\" c=3 e={\"f\":[1]}");
    }
}
