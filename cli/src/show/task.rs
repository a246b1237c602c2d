//! Tasks.

use helmr_api::http::tasks::{Task, TaskStream};

use super::{compact, joined, word};
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No tasks yet: `helmr deploy` brings some.";

pub(crate) fn list(tasks: &[Task], style: Style) -> String {
    let mut table = Table::new(["ID", "PAYLOAD", "SANDBOX", "SOURCE", "DEPLOYMENT"]);
    for task in tasks {
        table.row([
            task.id.clone(),
            if task.payload_schema.is_some() {
                "yes"
            } else {
                "none"
            }
            .to_owned(),
            task.sandbox.clone().unwrap_or_else(|| "default".to_owned()),
            format!("{} ({})", task.file, task.export),
            task.deployment_version.clone(),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(task: &Task, style: Style) -> String {
    Properties::new()
        .line("task", &task.id)
        .line("source", format!("{} (export {})", task.file, task.export))
        .line(
            "sandbox",
            task.sandbox.as_deref().unwrap_or("the default one"),
        )
        .line("max duration", format!("{} s", task.max_duration_seconds))
        .maybe("secrets", joined(&task.secret_names))
        .line(
            "payload",
            task.payload_schema
                .as_ref()
                .map_or_else(|| "none".to_owned(), super::pretty),
        )
        .maybe("streams", streams(&task.streams))
        .line(
            "deployment",
            format!("{} ({})", task.deployment_version, task.deployment_id),
        )
        .render(style)
}

/// A line for each stream: `input inbox {"type":"object"}`.
fn streams(streams: &[TaskStream]) -> Option<String> {
    let lines: Vec<String> = streams
        .iter()
        .map(|stream| {
            let direction = word(&stream.direction);
            format!("{direction} {} {}", stream.name, compact(&stream.schema))
        })
        .collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
