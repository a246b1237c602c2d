//! The rows of deployments and of what they declare.

use helmr_domain::stream::Direction;
use helmr_domain::{DeploymentId, Scope, TaskRowId};

use super::{Deployment, Sandbox, Status, Stream, Task, TaskQueue};
use crate::Result;
use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;

/// A deployment, and whether it is the last one promoted.
macro_rules! select {
    () => {
        "SELECT d.id, d.organization_id, d.project_id, d.environment_id, d.version, d.status,
            d.content_hash, d.bundle_sha256, d.bundle_manifest, d.bundle_size_bytes,
            d.worker_protocol, d.provenance, d.failure, d.created_at, d.deployed_at,
            CASE d.id WHEN (
                SELECT p.deployment_id
                FROM promotions p
                WHERE p.environment_id = d.environment_id
                ORDER BY p.number DESC
                LIMIT 1
            ) THEN 1 ELSE 0 END
        FROM deployments d
        "
    };
}

macro_rules! task_columns {
    () => {
        "t.id, t.organization_id, t.project_id, t.environment_id, t.deployment_id, t.task_id,
            t.sandbox, t.module, t.export, t.max_duration_us, t.ttl_us, t.queue,
            t.queue_options, t.retry, t.secrets, t.payload_schema, t.definition"
    };
}

sql! {
    GET = concat!(select!(), "WHERE d.id = $1
            AND d.organization_id = $2 AND d.project_id = $3 AND d.environment_id = $4");

    LIST = concat!(select!(), "WHERE d.organization_id = $1 AND d.project_id = $2
            AND d.environment_id = $3
            AND d.id < $4
        ORDER BY d.id DESC
        LIMIT $5");

    CURRENT = "SELECT deployment_id
        FROM promotions
        WHERE environment_id = $1 AND organization_id = $2 AND project_id = $3
        ORDER BY number DESC
        LIMIT 1";

    FIND_TASK = concat!("SELECT ", task_columns!(), "
        FROM deployment_tasks t
        WHERE t.id = $1");

    LIST_TASKS = concat!("SELECT ", task_columns!(), "
        FROM deployment_tasks t
        WHERE t.deployment_id = $1 AND t.task_id > $2
        ORDER BY t.task_id
        LIMIT $3");

    FIND_SANDBOX = "SELECT name, fingerprint, spec, definition
        FROM deployment_sandboxes
        WHERE deployment_id = $1 AND name = $2";

    LIST_SANDBOXES = "SELECT name, fingerprint, spec, definition
        FROM deployment_sandboxes
        WHERE deployment_id = $1
        ORDER BY name";

    LIST_STREAMS = "SELECT t.task_id, s.direction, s.name, s.schema
        FROM deployment_tasks t
        JOIN task_streams s ON s.task_row_id = t.id
        WHERE t.deployment_id = $1 AND t.task_id >= $2 AND t.task_id <= $3
        ORDER BY t.task_id, s.direction, s.name";
}

pub(super) fn read(mut row: Row) -> Result<Deployment> {
    let id = row.take("id")?;
    let scope = scope(&mut row)?;
    Ok(Deployment {
        id,
        scope,
        version: row.take("version")?,
        status: row.parse("status", |text| {
            [
                Status::Queued,
                Status::Building,
                Status::Deployed,
                Status::Failed,
            ]
            .into_iter()
            .find(|status| status.as_str() == text)
        })?,
        content_hash: row.take("content_hash")?,
        bundle_sha256: row.take("bundle_sha256")?,
        bundle_manifest: row.take("bundle_manifest")?,
        bundle_size_bytes: row.take("bundle_size_bytes")?,
        worker_protocol: row.take("worker_protocol")?,
        provenance: row.take("provenance")?,
        failure: row.take("failure")?,
        created_at: row.take("created_at")?,
        deployed_at: row.take("deployed_at")?,
        promoted: row.take("promoted")?,
    })
}

fn read_task(mut row: Row) -> Result<Task> {
    let id = row.take("id")?;
    let scope = scope(&mut row)?;
    let deployment_id = row.take("deployment_id")?;
    let task_id = row.take("task_id")?;
    let sandbox = row.take("sandbox")?;
    let module = row.take("module")?;
    let export = row.take("export")?;
    let max_duration = row.take("max_duration_us")?;
    let ttl = row.take("ttl_us")?;
    let queue: Option<String> = row.take("queue")?;
    let options: Option<Json<TaskQueue>> = row.take("queue_options")?;
    // A deployment of an earlier build kept the name alone.
    let queue = options.map(|Json(queue)| queue).or_else(|| {
        queue.map(|name| TaskQueue {
            name,
            concurrency_limit: None,
            concurrency_key: None,
            priority: 0,
        })
    });
    let Json(retry) = row.take("retry")?;
    let Json(secrets) = row.take("secrets")?;
    Ok(Task {
        id,
        scope,
        deployment_id,
        task_id,
        sandbox,
        module,
        export,
        max_duration,
        ttl,
        queue,
        retry,
        secrets,
        payload_schema: row.take("payload_schema")?,
        definition: row.take("definition")?,
    })
}

fn read_sandbox(mut row: Row) -> Result<Sandbox> {
    let name = row.take("name")?;
    let fingerprint = row.take("fingerprint")?;
    let Json(spec) = row.take("spec")?;
    Ok(Sandbox {
        name,
        fingerprint,
        spec,
        definition: row.take("definition")?,
    })
}

pub(super) async fn get(tx: &mut Tx, scope: Scope, id: DeploymentId) -> Result<Option<Deployment>> {
    let bound = params![id, scope.organization, scope.project, scope.environment];
    tx.find(&GET, bound).await?.map(read).transpose()
}

pub(super) async fn list(
    tx: &mut Tx,
    scope: Scope,
    before: &str,
    limit: u64,
) -> Result<Vec<Deployment>> {
    let bound = params![
        scope.organization,
        scope.project,
        scope.environment,
        before,
        limit
    ];
    let found = tx.rows(&LIST, bound).await?;
    found.into_iter().map(read).collect()
}

/// The promoted deployment's id.
pub(super) async fn current(tx: &mut Tx, scope: Scope) -> Result<Option<DeploymentId>> {
    let bound = params![scope.environment, scope.organization, scope.project];
    let found = tx.find(&CURRENT, bound).await?;
    found.map(|mut row| row.take("deployment_id")).transpose()
}

pub(crate) async fn find_task(tx: &mut Tx, id: TaskRowId) -> Result<Option<Task>> {
    tx.find(&FIND_TASK, params![id])
        .await?
        .map(read_task)
        .transpose()
}

/// Tasks of a deployment with ids above `after`.
pub(crate) async fn list_tasks(
    tx: &mut Tx,
    id: DeploymentId,
    after: &str,
    limit: u64,
) -> Result<Vec<Task>> {
    let found = tx.rows(&LIST_TASKS, params![id, after, limit]).await?;
    found.into_iter().map(read_task).collect()
}

pub(crate) async fn find_sandbox(
    tx: &mut Tx,
    id: DeploymentId,
    name: &str,
) -> Result<Option<Sandbox>> {
    tx.find(&FIND_SANDBOX, params![id, name])
        .await?
        .map(read_sandbox)
        .transpose()
}

pub(super) async fn list_sandboxes(tx: &mut Tx, id: DeploymentId) -> Result<Vec<Sandbox>> {
    let found = tx.rows(&LIST_SANDBOXES, params![id]).await?;
    found.into_iter().map(read_sandbox).collect()
}

/// The streams of a deployment's tasks from `first` to `last`.
pub(super) async fn list_streams(
    tx: &mut Tx,
    id: DeploymentId,
    first: &str,
    last: &str,
) -> Result<Vec<Stream>> {
    let found = tx.rows(&LIST_STREAMS, params![id, first, last]).await?;
    found
        .into_iter()
        .map(|mut row| {
            Ok(Stream {
                task_id: row.take("task_id")?,
                direction: row.parse("direction", Direction::read)?,
                name: row.take("name")?,
                schema: row.take("schema")?,
            })
        })
        .collect()
}
