//! Runs.

use helmr_api::http::runs::{Run, RunError, RunStatus, Wait, WaitKind};

use super::{ago, compact, joined, told, when, word};
use crate::moment;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No runs yet: `helmr session start TASK` makes one.";

pub(crate) fn list(runs: &[Run], style: Style) -> String {
    let mut table = Table::new(["ID", "TASK", "STATUS", "WHERE", "SESSION", "CREATED"]);
    for run in runs {
        table.row([
            run.id.to_string(),
            run.task.clone(),
            word(&run.status),
            whereabouts(run),
            run.session_id.to_string(),
            ago(run.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(run: &Run, style: Style) -> String {
    Properties::new()
        .line("run", run.id.to_string())
        .line("status", word(&run.status))
        .maybe("where", placement(run))
        .maybe("waits for", run.pending_wait.as_ref().map(wait))
        .line(
            "task",
            format!("{} (deployment {})", run.task, run.deployment_version),
        )
        .line("session", run.session_id.to_string())
        .line("workspace", run.workspace_id.to_string())
        .maybe(
            "attempt",
            run.attempt_number.map(|number| number.to_string()),
        )
        .line(
            "active",
            format!(
                "{} of {} s",
                moment::lasted(run.active_seconds),
                run.max_duration_seconds
            ),
        )
        .maybe("payload", run.payload.as_ref().map(compact))
        .maybe("secrets", joined(&run.secret_names))
        .maybe("output", run.output.as_ref().map(super::pretty))
        .maybe("error", run.error.as_ref().map(error))
        .maybe("exit code", run.exit_code.map(|code| code.to_string()))
        .maybe("metadata", told(&run.metadata))
        .line("created", when(run.created_at))
        .maybe("started", run.started_at.map(when))
        .maybe("finished", run.finished_at.map(when))
        .render(style)
}

/// A run in a few words: `waiting for token tok_… (parked)`.
pub(crate) fn condition(run: &Run) -> String {
    match &run.pending_wait {
        Some(waits) => format!("waiting for {}", wait(waits)),
        None => word(&run.status),
    }
}

fn whereabouts(run: &Run) -> String {
    if run.status.is_final() {
        String::new()
    } else {
        run.placement.state.clone()
    }
}

fn placement(run: &Run) -> Option<String> {
    if run.status.is_final() {
        return None;
    }
    let state = &run.placement.state;
    Some(match &run.placement.reason {
        Some(reason) => format!("{state}: {reason}"),
        None if run.status == RunStatus::Queued => format!("{state}: no worker has taken it yet"),
        None => state.clone(),
    })
}

fn wait(wait: &Wait) -> String {
    let what = match wait.kind {
        WaitKind::Token => format!(
            "token {}",
            wait.token_id.map(|id| id.to_string()).unwrap_or_default()
        ),
        WaitKind::Stream => {
            let stream = wait.stream.as_deref().unwrap_or_default();
            match &wait.correlation_id {
                Some(id) => format!("input on {stream} for {id}"),
                None => format!("input on {stream}"),
            }
        }
        WaitKind::Timer => match wait.due_at {
            Some(due) => format!("a timer, due {}", ago(due)),
            None => "a timer".to_owned(),
        },
    };
    match wait.timeout_at {
        Some(at) => format!("{what} ({}, times out {})", wait.state, ago(at)),
        None => format!("{what} ({})", wait.state),
    }
}

fn error(error: &RunError) -> String {
    let mut text = format!("{}: {}", error.kind, error.message);
    if let Some(stack) = &error.stack {
        text.push('\n');
        text.push_str(stack);
    }
    text
}
