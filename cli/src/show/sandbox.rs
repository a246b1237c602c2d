//! Sandboxes.

use helmr_api::http::tasks::Sandbox;

use crate::moment;
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No sandboxes: the promoted deployment declares none.";

pub(crate) fn list(sandboxes: &[Sandbox], style: Style) -> String {
    let mut table = Table::new(["ID", "IMAGE", "WORKSPACE", "CPU", "MEMORY", "DISK"]);
    for sandbox in sandboxes {
        table.row([
            sandbox.id.clone(),
            sandbox.image.clone(),
            sandbox.mount_path.clone(),
            cpu(sandbox.cpu_millis),
            moment::size(sandbox.memory_bytes),
            moment::size(sandbox.disk_bytes),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(sandbox: &Sandbox, style: Style) -> String {
    Properties::new()
        .line("sandbox", &sandbox.id)
        .line("image", &sandbox.image)
        .line("digest", &sandbox.image_digest)
        .line("workspace", &sandbox.mount_path)
        .line("cpu", cpu(sandbox.cpu_millis))
        .line("memory", moment::size(sandbox.memory_bytes))
        .line("disk", moment::size(sandbox.disk_bytes))
        .line("processes", sandbox.processes.to_string())
        .line("deployment", sandbox.deployment_id.to_string())
        .render(style)
}

fn cpu(millis: u32) -> String {
    if millis.is_multiple_of(1_000) {
        (millis / 1_000).to_string()
    } else {
        format!("{:.2}", f64::from(millis) / 1_000.0)
    }
}
