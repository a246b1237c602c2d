//! Deployments as clients see them.

use helmr_api::http::deployments::{Deployment, DeploymentStatus};
use helmr_domain::{EventKind, Timestamp};
use helmr_store::deployments::{self, Deployment as Row, Status};
use helmr_store::{Subject, events, tasks};
use serde_json::json;

use crate::ops::deployments::DEFAULT_SANDBOX;
use crate::{ApiError, Control};

/// Events of a deployment that are looked through for its last promotion.
const EVENTS: u32 = 200;

/// What a deployment holds, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Contents {
    pub(crate) tasks: Vec<String>,
    pub(crate) sandboxes: Vec<String>,
}

pub(crate) fn deployment(
    row: &Row,
    contents: Contents,
    promoted_at: Option<Timestamp>,
) -> Deployment {
    Deployment {
        id: row.id,
        version: row.version.clone(),
        status: match row.status {
            Status::Queued => DeploymentStatus::Queued,
            Status::Building => DeploymentStatus::Building,
            Status::Deployed => DeploymentStatus::Deployed,
            Status::Failed => DeploymentStatus::Failed,
        },
        current: row.promoted,
        content_hash: row.content_hash.clone(),
        bundle_sha256: row.bundle_sha256.clone(),
        tasks: contents.tasks,
        sandboxes: contents.sandboxes,
        provenance: row.provenance.clone(),
        worker_protocol: row.worker_protocol,
        created_at: row.created_at.into(),
        promoted_at: promoted_at.map(Into::into),
        error: row
            .failure
            .as_ref()
            .map(|message| json!({ "message": message })),
    }
}

/// A deployment with what it holds.
pub(crate) async fn whole(control: &Control, row: &Row) -> Result<Deployment, ApiError> {
    let tasks = tasks::of_deployment(&control.store, row.scope, row.id).await?;
    let sandboxes = deployments::sandboxes(&control.store, row.scope, row.id).await?;
    let contents = Contents {
        tasks: tasks.iter().map(|task| task.task_id.to_string()).collect(),
        sandboxes: sandboxes
            .into_iter()
            .map(|sandbox| sandbox.name)
            .filter(|name| name != DEFAULT_SANDBOX)
            .collect(),
    };
    Ok(deployment(row, contents, promoted_at(control, row).await?))
}

/// When it became the current one; `None` unless it is.
async fn promoted_at(control: &Control, row: &Row) -> Result<Option<Timestamp>, ApiError> {
    if !row.promoted {
        return Ok(None);
    }
    let subject = Subject::Deployment(row.id);
    let told = events::list(&control.store, row.scope, subject, 0, EVENTS).await?;
    Ok(told
        .iter()
        .rev()
        .find(|event| event.kind == EventKind::DeploymentPromoted)
        .map(|event| event.at))
}
