//! PTYs.

use helmr_api::http::execs::{ExecState, Signal};
use helmr_api::http::ptys::Pty;

use super::{ago, when, word};
use crate::moment::size;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No PTYs yet: `helmr workspace shell WORKSPACE` makes one.";

const LOGIN_SHELL: &str = "(login shell)";

pub(crate) fn list(ptys: &[Pty], style: Style) -> String {
    let mut table = Table::new([
        "ID",
        "STATE",
        "ENDED WITH",
        "SIZE",
        "OUTPUT",
        "CREATED",
        "COMMAND",
    ]);
    for pty in ptys {
        table.row([
            pty.id.to_string(),
            state(pty),
            outcome(pty).unwrap_or_default(),
            format!("{}×{}", pty.cols, pty.rows),
            size(pty.output.end),
            ago(pty.created_at),
            command(pty),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(pty: &Pty, style: Style) -> String {
    Properties::new()
        .line("pty", pty.id.to_string())
        .line("workspace", pty.workspace_id.to_string())
        .line("command", command(pty))
        .line("state", state(pty))
        .maybe("ended with", outcome(pty).as_deref())
        .maybe("error", pty.error.as_deref())
        .line("size", format!("{}×{}", pty.cols, pty.rows))
        .maybe("directory", pty.cwd.as_deref())
        .maybe("user", pty.user.as_deref())
        .maybe(
            "variables",
            (!pty.env.is_empty()).then(|| pty.env.join(" ")),
        )
        .line("output", size(pty.output.end))
        .line("cursor", pty.cursor.clone())
        .line("created", when(pty.created_at))
        .maybe("started", pty.started_at.map(when))
        .maybe("ended", pty.ended_at.map(when))
        .render(style)
}

fn command(pty: &Pty) -> String {
    pty.command
        .as_ref()
        .map_or_else(|| LOGIN_SHELL.to_owned(), |command| command.join(" "))
}

fn state(pty: &Pty) -> String {
    let idle = if pty.idle { ", idle" } else { "" };
    format!("{}{idle}", word(&pty.state))
}

/// `exit code 3`, `SIGKILL`.
fn outcome(pty: &Pty) -> Option<String> {
    match pty.state {
        ExecState::Exited => pty.exit_code.map(|code| format!("exit code {code}")),
        ExecState::Killed => pty.signal.map(|signal| Signal(signal).name()),
        ExecState::Queued
        | ExecState::Starting
        | ExecState::Running
        | ExecState::Lost
        | ExecState::Failed => None,
    }
}
