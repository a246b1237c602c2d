//! Execs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::http::execs::{Exec, ExecState, OutputItem, Signal};
use helmr_api::http::runs::Encoding;

use super::{ago, when, word};
use crate::error::CommandError;
use crate::moment::size;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str =
    "No execs yet: `helmr workspace exec WORKSPACE -- COMMAND` makes one.";

/// The bytes of an item, as the process printed them.
pub(crate) fn bytes(item: &OutputItem) -> Result<Vec<u8>, CommandError> {
    match item.encoding {
        Encoding::Utf8 => Ok(item.data.clone().into_bytes()),
        Encoding::Base64 => STANDARD
            .decode(&item.data)
            .map_err(|error| CommandError::failed("read the server's answer").because(&error)),
    }
}

pub(crate) fn list(execs: &[Exec], style: Style) -> String {
    let mut table = Table::new(["ID", "STATE", "ENDED WITH", "OUTPUT", "CREATED", "COMMAND"]);
    for exec in execs {
        table.row([
            exec.id.to_string(),
            word(&exec.state),
            outcome(exec).unwrap_or_default(),
            size(exec.stdout.end + exec.stderr.end),
            ago(exec.created_at),
            exec.command.join(" "),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(exec: &Exec, style: Style) -> String {
    Properties::new()
        .line("exec", exec.id.to_string())
        .line("workspace", exec.workspace_id.to_string())
        .line("command", exec.command.join(" "))
        .line("state", word(&exec.state))
        .maybe("ended with", outcome(exec).as_deref())
        .maybe("error", exec.error.as_deref())
        .maybe("directory", exec.cwd.as_deref())
        .maybe("user", exec.user.as_deref())
        .maybe(
            "variables",
            (!exec.env.is_empty()).then(|| exec.env.join(" ")),
        )
        .line("stdout", size(exec.stdout.end))
        .line("stderr", size(exec.stderr.end))
        .line("created", when(exec.created_at))
        .maybe("started", exec.started_at.map(when))
        .maybe("ended", exec.ended_at.map(when))
        .render(style)
}

/// `exit code 3`, `SIGKILL`.
fn outcome(exec: &Exec) -> Option<String> {
    match exec.state {
        ExecState::Exited => exec.exit_code.map(|code| format!("exit code {code}")),
        ExecState::Killed => exec.signal.map(|signal| {
            let late = if exec.timed_out { ", timed out" } else { "" };
            format!("{}{late}", Signal(signal).name())
        }),
        ExecState::Queued
        | ExecState::Starting
        | ExecState::Running
        | ExecState::Lost
        | ExecState::Failed => None,
    }
}
