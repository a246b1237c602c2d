//! `/sandboxes`: what the promoted deployment's tasks run in.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::tasks::{Sandbox, SandboxAnswer};
use helmr_domain::{DeploymentId, ResourceName, Scope};
use helmr_store::deployments;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::ops::deployments::DEFAULT_SANDBOX;
use crate::{ApiError, Control, refusal};

fn view(row: &deployments::Sandbox, deployment_id: DeploymentId) -> Sandbox {
    let spec = &row.spec;
    Sandbox {
        id: row.name.clone(),
        deployment_id,
        image: row.definition["image"]["from"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        image_digest: spec.image_digest.clone(),
        mount_path: spec.mount_path.clone(),
        cpu_millis: spec.cpu_millis,
        memory_bytes: spec.memory_bytes,
        disk_bytes: spec.disk_bytes,
        processes: spec.processes,
    }
}

async fn current(control: &Control, scope: Scope) -> Result<Vec<Sandbox>, ApiError> {
    let Some(deployment) = deployments::current(&control.store, scope).await? else {
        return Ok(Vec::new());
    };
    let rows = deployments::sandboxes(&control.store, scope, deployment.id).await?;
    Ok(rows
        .iter()
        .filter(|row| row.name != DEFAULT_SANDBOX)
        .map(|row| view(row, deployment.id))
        .collect())
}

/// Lists the sandboxes of the promoted deployment. The default one, of tasks that name none, is not among them.
#[utoipa::path(get, path = "/api/v1/sandboxes", operation_id = "list_sandboxes", tag = "tasks",
    params(PageQuery), responses((status = OK, body = Page<Sandbox>), Refusals))]
pub(crate) async fn list_sandboxes(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Sandbox>>, ApiError> {
    cursor::limit(query.limit)?;
    Ok(Json(Page {
        items: current(&control, caller.scope()).await?,
        next_cursor: None,
    }))
}

/// Gives one sandbox of the promoted deployment.
#[utoipa::path(get, path = "/api/v1/sandboxes/{id}", operation_id = "get_sandbox", tag = "tasks",
    params(("id" = String, Path)), responses((status = OK, body = SandboxAnswer), Refusals))]
pub(crate) async fn get_sandbox(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ResourceName>,
) -> Result<Json<SandboxAnswer>, ApiError> {
    let sandbox = current(&control, caller.scope())
        .await?
        .into_iter()
        .find(|sandbox| sandbox.id == id.as_str())
        .ok_or_else(|| refusal::not_found("sandbox"))?;
    Ok(Json(SandboxAnswer { sandbox }))
}
