//! Workspaces and their versions.

use helmr_api::http::workspaces::{
    Connection, ForkAnswer, Materialization, Version, Workspace, WorkspaceState,
};

use super::{ago, told, when, word};
use crate::moment::size;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str =
    "No workspaces yet: `helmr workspace create` makes one, and so does `helmr session start`.";

/// Said instead of an empty list of versions.
pub(crate) const NO_VERSIONS: &str =
    "No versions yet: its files are those of its sandbox's image until something ran in it.";

/// Where tasks that name no sandbox run.
const DEFAULT: &str = "(default)";

pub(crate) fn list(workspaces: &[Workspace], style: Style) -> String {
    let mut table = Table::new([
        "ID",
        "EXTERNAL ID",
        "SANDBOX",
        "STATE",
        "MACHINE",
        "SIZE",
        "CREATED",
    ]);
    for workspace in workspaces {
        let machine = workspace.materialization.as_ref();
        table.row([
            workspace.id.to_string(),
            workspace.external_id.clone().unwrap_or_default(),
            sandbox(workspace),
            word(&workspace.state),
            machine
                .map(|machine| word(&machine.state))
                .unwrap_or_default(),
            size(workspace.size_bytes),
            ago(workspace.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(workspace: &Workspace, style: Style) -> String {
    let properties = Properties::new()
        .line("workspace", workspace.id.to_string())
        .maybe("external id", workspace.external_id.as_deref())
        .line("state", word(&workspace.state))
        .maybe("held up", workspace.placement_reason.as_deref())
        .maybe(
            "machine asked for",
            workspace.machine_requested_at.map(when),
        )
        .line("sandbox", sandbox(workspace))
        .line("mount path", &workspace.mount_path)
        .maybe(
            "version",
            workspace.current_version_id.map(|id| id.to_string()),
        )
        .line("size", size(workspace.size_bytes))
        .line(
            "stops after",
            workspace
                .auto_stop_after
                .map_or_else(|| "5m (usual)".to_owned(), |span| span.0.to_string()),
        )
        .maybe("tags", super::joined(&workspace.tags))
        .maybe("metadata", told(&workspace.metadata))
        .line("created", when(workspace.created_at))
        .line("last active", when(workspace.last_activity_at));
    match &workspace.materialization {
        Some(machine) => with_machine(properties, machine),
        None => properties.line("machine", "none yet"),
    }
    .render(style)
}

/// How a workspace with a live machine is reached.
pub(crate) fn connection(connection: &Connection, style: Style) -> String {
    Properties::new()
        .line("workspace", connection.workspace_id.to_string())
        .line("materialization", connection.materialization_id.to_string())
        .line("machine", "live")
        .line("stays for", connection.stays_for.0.to_string())
        .line("mount path", &connection.mount_path)
        .line("execs", &connection.urls.execs)
        .line("ptys", &connection.urls.ptys)
        .line("files", &connection.urls.files)
        .render(style)
}

/// A fork, and what it began with.
pub(crate) fn fork(answer: &ForkAnswer, style: Style) -> String {
    let ForkAnswer { workspace, fork } = answer;
    let kind = if fork.live { "live" } else { "files" };
    let mut text = Properties::new()
        .line("workspace", workspace.id.to_string())
        .maybe("external id", workspace.external_id.as_deref())
        .line("forked from", fork.from_workspace_id.to_string())
        .line("copied", kind)
        .maybe("version", fork.from_version_id.map(|id| id.to_string()))
        .line("size", size(workspace.size_bytes))
        .render(style);
    if !fork.sessions.is_empty() {
        let mut table = Table::new(["SESSION", "RUN", "FORKED FROM"]);
        for session in &fork.sessions {
            table.row([
                session.session_id.to_string(),
                session
                    .run_id
                    .map(|run| run.to_string())
                    .unwrap_or_default(),
                session.from_session_id.to_string(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.render(style));
    }
    if fork.memory_copied {
        text.push_str("\nMemory was copied, with whatever secrets processes hold in it");
        if !fork.secrets_copied.is_empty() {
            text.push_str(": ");
            text.push_str(&fork.secrets_copied.join(", "));
        }
        text.push_str(".\n");
    }
    text
}

fn with_machine(properties: Properties, machine: &Materialization) -> Properties {
    let note = if machine.stop_requested && machine.ended_at.is_none() {
        " (told to stop)"
    } else {
        ""
    };
    properties
        .line("machine", format!("{}{note}", word(&machine.state)))
        .maybe("reason", machine.reason.as_deref())
        .line("materialization", machine.id.to_string())
        .line(
            "worker",
            format!("{} ({})", machine.worker_id, machine.driver),
        )
        .maybe("checkpoint", machine.checkpoint_size_bytes.map(size))
        .maybe("started", machine.started_at.map(when))
        .maybe("parked", machine.parked_at.map(when))
        .maybe("machine ended", machine.ended_at.map(when))
}

/// What can be done about a workspace whose worker is lost.
pub(crate) fn choices(workspace: &Workspace, style: Style) -> String {
    let mut text = one(workspace, style);
    let id = workspace.id;
    text.push_str(&match workspace.state {
        WorkspaceState::RecoveryRequired => format!(
            "\nIt was live on a worker that is lost, and its files may be newer there than its last version.\n\
             \n  wait                     do nothing: when its worker returns, its files become the next version\n  \
             go on without the rest   helmr workspace recover {id} --from last-version\n\
             \nWhat is to run in it stays queued meanwhile. What the worker brings later is kept as a version beside.\n"
        ),
        WorkspaceState::Active | WorkspaceState::Archived | WorkspaceState::Deleted => {
            "\nIt needs no recovery.\n".to_owned()
        }
    });
    text
}

pub(crate) fn versions(versions: &[Version], style: Style) -> String {
    let mut table = Table::new(["ID", "KIND", "SIZE", "CHANGED", "CREATED", "MESSAGE"]);
    for version in versions {
        let current = if version.current { " (current)" } else { "" };
        table.row([
            version.id.to_string(),
            format!("{}{current}", word(&version.kind)),
            size(version.size_bytes),
            size(version.changed_bytes),
            ago(version.created_at),
            version.message.clone().unwrap_or_default(),
        ]);
    }
    table.render(style)
}

pub(crate) fn version(version: &Version, style: Style) -> String {
    let current = if version.current { "yes" } else { "no" };
    Properties::new()
        .line("version", version.id.to_string())
        .line("workspace", version.workspace_id.to_string())
        .maybe("parent", version.parent_id.map(|id| id.to_string()))
        .line("kind", word(&version.kind))
        .line("current", current)
        .maybe("message", version.message.as_deref())
        .line("size", size(version.size_bytes))
        .line("changed", size(version.changed_bytes))
        .line("created", when(version.created_at))
        .render(style)
}

fn sandbox(workspace: &Workspace) -> String {
    workspace
        .sandbox
        .clone()
        .unwrap_or_else(|| DEFAULT.to_owned())
}
