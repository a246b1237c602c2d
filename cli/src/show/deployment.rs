//! Deployments.

use helmr_api::http::deployments::Deployment;

use super::{ago, joined, told, when, word};
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No deployments yet: `helmr deploy` makes one.";

pub(crate) fn list(deployments: &[Deployment], style: Style) -> String {
    let mut table = Table::new(["ID", "VERSION", "STATUS", "CURRENT", "TASKS", "CREATED"]);
    for deployment in deployments {
        table.row([
            deployment.id.to_string(),
            deployment.version.clone(),
            word(&deployment.status),
            if deployment.current { "yes" } else { "" }.to_owned(),
            deployment.tasks.join(", "),
            ago(deployment.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(deployment: &Deployment, style: Style) -> String {
    Properties::new()
        .line("deployment", deployment.id.to_string())
        .line("version", &deployment.version)
        .line("status", word(&deployment.status))
        .line(
            "current",
            if deployment.current {
                "yes: starts use it"
            } else {
                "no"
            },
        )
        .maybe("tasks", joined(&deployment.tasks))
        .maybe("sandboxes", joined(&deployment.sandboxes))
        .line("content", &deployment.content_hash)
        .line("created", when(deployment.created_at))
        .maybe("promoted", deployment.promoted_at.map(when))
        .maybe("error", deployment.error.as_ref().and_then(told))
        .render(style)
}
