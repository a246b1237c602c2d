//! `/tasks`: what the promoted deployment offers.

use axum::Json;
use axum::extract::State;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::tasks::{Task, TaskAnswer, TaskStream};
use helmr_domain::{DeploymentId, Duration, ResourceName, Scope};
use helmr_store::deployments::{self, Stream};
use helmr_store::tasks;
use serde_json::Value;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::streams::view::wire_direction;
use crate::ops::deployments::DEFAULT_SANDBOX;
use crate::{ApiError, Control, refusal};

fn view(row: &tasks::Task, version: &str, streams: &[Stream]) -> Task {
    let text = |name: &str| row.definition[name].as_str().unwrap_or_default().to_owned();
    Task {
        id: row.task_id.to_string(),
        row_id: row.id,
        deployment_id: row.deployment_id,
        deployment_version: version.to_owned(),
        file: text("file"),
        export: row.export.clone(),
        sandbox: (row.sandbox != DEFAULT_SANDBOX).then(|| row.sandbox.clone()),
        max_duration_seconds: seconds(row.max_duration),
        secret_names: row.secrets.clone(),
        payload_schema: row
            .payload_schema
            .clone()
            .filter(|schema| *schema != Value::Null),
        streams: streams
            .iter()
            .filter(|stream| stream.task_id == row.task_id)
            .map(|stream| TaskStream {
                name: stream.name.to_string(),
                direction: wire_direction(stream.direction),
                schema: stream.schema.clone(),
            })
            .collect(),
    }
}

/// What the tasks of one deployment from `first` to `last` declare.
async fn streams(
    control: &Control,
    scope: Scope,
    first: &tasks::Task,
    last: &tasks::Task,
) -> Result<Vec<Stream>, ApiError> {
    let (deployment, first, last) = (first.deployment_id, &first.task_id, &last.task_id);
    Ok(deployments::streams(&control.store, scope, deployment, first, last).await?)
}

fn seconds(span: Duration) -> u64 {
    span.as_micros().unsigned_abs() / 1_000_000
}

async fn version(control: &Control, scope: Scope, id: DeploymentId) -> Result<String, ApiError> {
    Ok(deployments::get(&control.store, scope, id)
        .await?
        .map(|deployment| deployment.version)
        .unwrap_or_default())
}

/// Lists the tasks of the promoted deployment, by id.
#[utoipa::path(get, path = "/api/v1/tasks", operation_id = "list_tasks", tag = "tasks",
    params(PageQuery), responses((status = OK, body = Page<Task>), Refusals))]
pub(crate) async fn list_tasks(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Task>>, ApiError> {
    let scope = caller.scope();
    let after: Option<ResourceName> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = tasks::list(&control.store, scope, after, limit).await?;
    // All of one page belong to one deployment.
    let (version, streams) = match (page.items.first(), page.items.last()) {
        (Some(first), Some(last)) => (
            version(&control, scope, first.deployment_id).await?,
            streams(&control, scope, first, last).await?,
        ),
        _ => (String::new(), Vec::new()),
    };
    Ok(Json(cursor::page(page, |row| {
        view(row, &version, &streams)
    })))
}

/// Gives one task of the promoted deployment.
#[utoipa::path(get, path = "/api/v1/tasks/{id}", operation_id = "get_task", tag = "tasks",
    params(("id" = String, Path)), responses((status = OK, body = TaskAnswer), Refusals))]
pub(crate) async fn get_task(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ResourceName>,
) -> Result<Json<TaskAnswer>, ApiError> {
    let scope = caller.scope();
    let row = tasks::get(&control.store, scope, id.as_str())
        .await?
        .ok_or_else(|| refusal::not_found("task"))?;
    let version = version(&control, scope, row.deployment_id).await?;
    let streams = streams(&control, scope, &row, &row).await?;
    Ok(Json(TaskAnswer {
        task: view(&row, &version, &streams),
    }))
}
