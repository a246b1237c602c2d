//! Sessions.

use helmr_api::http::sessions::{Session, SessionStatus, StartedSession};

use super::{ago, told, when, word};
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No sessions yet: `helmr session start TASK` makes one.";

pub(crate) fn list(sessions: &[Session], style: Style) -> String {
    let mut table = Table::new(["ID", "TASK", "STATUS", "ACTIVITY", "EXTERNAL ID", "CREATED"]);
    for session in sessions {
        table.row([
            session.id.to_string(),
            session.task.clone(),
            word(&session.status),
            activity(session),
            session.external_id.clone().unwrap_or_default(),
            ago(session.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(session: &Session, style: Style) -> String {
    Properties::new()
        .line("session", session.id.to_string())
        .maybe("external id", session.external_id.as_deref())
        .line("status", word(&session.status))
        .line("activity", word(&session.activity))
        .maybe(
            "current run",
            session.current_run_id.map(|run| run.to_string()),
        )
        .line("task", &session.task)
        .line("workspace", session.workspace_id.to_string())
        .line("deployment", session.deployment_id.to_string())
        .maybe("tags", super::joined(&session.tags))
        .maybe("metadata", told(&session.metadata))
        .maybe("result", session.result.as_ref().and_then(told))
        .maybe("error", session.error.as_ref().and_then(told))
        .line("created", when(session.created_at))
        .maybe("expires", session.expires_at.map(when))
        .maybe("ended", session.ended_at.map(when))
        .maybe("cancelled for", session.cancel_reason.as_deref())
        .render(style)
}

pub(crate) fn started(started: &StartedSession, style: Style) -> String {
    let session = &started.session;
    let note = if started.reused {
        "open already: used again"
    } else {
        "new"
    };
    Properties::new()
        .line("session", format!("{} ({note})", session.id))
        .line("run", started.run.id.to_string())
        .line("status", word(&started.run.status))
        .line(
            "task",
            format!(
                "{} (deployment {})",
                session.task, started.run.deployment_version
            ),
        )
        .line("workspace", session.workspace_id.to_string())
        .line(
            "follow it",
            format!("helmr run events {} --follow", started.run.id),
        )
        .render(style)
}

/// An ended session has no activity worth a word.
fn activity(session: &Session) -> String {
    match session.status {
        SessionStatus::Open => word(&session.activity),
        SessionStatus::Closed | SessionStatus::Cancelled | SessionStatus::Expired => String::new(),
    }
}
