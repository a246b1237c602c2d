//! Deployments, made and promoted.

use std::collections::HashMap;

use helmr_domain::{DeploymentId, Event, EventKind, Moment, Refusal, Scope, TaskRowId};

use super::{Create, Created, Deployment, NewTask, Sandbox, Status, Stream, row};
use crate::db::{Json, Tx, params, sql};
use crate::events::{self, About};
use crate::idempotency::{self, Kept, Origin};
use crate::{Error, Result, Store, Subject};

sql! {
    INSERT = "INSERT INTO deployments (
            id, organization_id, project_id, environment_id, version, status, content_hash,
            bundle_sha256, bundle_manifest, bundle_size_bytes, worker_protocol, provenance,
            created_at, deployed_at
        )
        VALUES ($1, $2, $3, $4, $5, 'deployed', $6, $7, $8, $9, $10, $11, $12, $12)";

    /// Versions of one day begin with the day and a dot.
    COUNT_OF_DAY = "SELECT COUNT(*)
        FROM deployments
        WHERE environment_id = $1 AND version > $2 AND version < $3";

    INSERT_SANDBOX = "INSERT INTO deployment_sandboxes (
            deployment_id, organization_id, project_id, environment_id, name, fingerprint, spec,
            definition
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    INSERT_TASK = "INSERT INTO deployment_tasks (
            id, deployment_id, organization_id, project_id, environment_id, task_id, sandbox,
            module, export, max_duration_us, ttl_us, queue, queue_options, retry, secrets,
            payload_schema, definition
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";

    INSERT_STREAM = "INSERT INTO task_streams (
            task_row_id, organization_id, project_id, environment_id, direction, name, schema
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7)";

    PROMOTE = "INSERT INTO promotions (
            environment_id, number, organization_id, project_id, deployment_id, promoted_at
        )
        SELECT $1, COALESCE(MAX(number), 0) + 1, $2, $3, $4, $5
        FROM promotions
        WHERE environment_id = $1";
}

/// Makes a deployment out of a bundle that is uploaded, already `deployed`, and promotes it if asked to. The version is
/// the day of `at` in UTC and a number. Each call makes a version of its own; equal content shares what it stored.
///
/// # Errors
/// `Refused(IdempotencyKeyReused)`; `Conflict` if two tasks or sandboxes, or two streams of a task, have one name;
/// `NotFound` if a stream is of a task that is not among them.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Created>> {
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<Kept<Created>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let id = insert(tx, input).await?;
    if input.promote {
        promote_in(tx, scope, id, at).await?;
    }
    let deployment = row::get(tx, scope, id)
        .await?
        .ok_or(Error::NotFound("deployment"))?;
    let created = Created { deployment };
    idempotency::keep(tx, scope, origin, created, at).await
}

async fn insert(tx: &mut Tx, input: &Create) -> Result<DeploymentId> {
    let (scope, at) = (input.scope, input.at);
    let id = at.ids().make(DeploymentId::new);
    let day = at.now.civil();
    let day = format!("{:04}{:02}{:02}", day.year, day.month, day.day);
    // A dot sorts before all digits, and a slash just after it.
    let bound = params![scope.environment, format!("{day}."), format!("{day}/")];
    let before: u64 = tx.one(&COUNT_OF_DAY, bound).await?.take("count")?;
    let version = format!("{day}.{}", before + 1);
    tx.run(
        &INSERT,
        params![
            id,
            scope.organization,
            scope.project,
            scope.environment,
            version,
            input.content_hash,
            input.bundle_sha256,
            input.bundle_manifest,
            input.bundle_size_bytes,
            input.worker_protocol,
            input.provenance,
            at.now
        ],
    )
    .await?;
    for sandbox in &input.sandboxes {
        unique(insert_sandbox(tx, scope, id, sandbox).await, "sandbox")?;
    }
    let mut rows = HashMap::new();
    for (row, task) in task_ids(at, input.tasks.len())
        .into_iter()
        .zip(&input.tasks)
    {
        unique(insert_task(tx, scope, id, row, task).await, "task")?;
        rows.insert(&task.task_id, row);
    }
    for stream in &input.streams {
        let row = rows.get(&stream.task_id).ok_or(Error::NotFound("task"))?;
        unique(insert_stream(tx, scope, *row, stream).await, "stream")?;
    }
    for kind in [
        EventKind::DeploymentQueued,
        EventKind::DeploymentBuilding,
        EventKind::DeploymentDeployed,
    ] {
        let event = Event::new(kind).with("version", version.as_str());
        events::append(tx, about(scope, id), event, at).await?;
    }
    Ok(id)
}

fn task_ids(at: Moment, count: usize) -> Vec<TaskRowId> {
    let ids = at.ids();
    (0..count).map(|_| ids.make(TaskRowId::new)).collect()
}

fn unique(inserted: Result<u64>, name: &'static str) -> Result<()> {
    match inserted {
        Err(error) if error.is_duplicate() => Err(Error::Conflict(name)),
        other => other.map(drop),
    }
}

const fn about(scope: Scope, id: DeploymentId) -> About {
    About {
        subject: Subject::Deployment(id),
        scope,
        run: None,
        session: None,
        workspace: None,
        attempt: None,
    }
}

async fn insert_sandbox(
    tx: &mut Tx,
    scope: Scope,
    id: DeploymentId,
    sandbox: &Sandbox,
) -> Result<u64> {
    let bound = params![
        id,
        scope.organization,
        scope.project,
        scope.environment,
        sandbox.name,
        sandbox.fingerprint,
        Json(&sandbox.spec),
        sandbox.definition
    ];
    tx.run(&INSERT_SANDBOX, bound).await
}

async fn insert_task(
    tx: &mut Tx,
    scope: Scope,
    id: DeploymentId,
    row: TaskRowId,
    task: &NewTask,
) -> Result<u64> {
    let bound = params![
        row,
        id,
        scope.organization,
        scope.project,
        scope.environment,
        task.task_id,
        task.sandbox,
        task.module,
        task.export,
        task.max_duration,
        task.ttl,
        task.queue.as_ref().map(|queue| queue.name.as_str()),
        task.queue.as_ref().map(Json),
        Json(task.retry),
        Json(&task.secrets),
        task.payload_schema,
        task.definition
    ];
    tx.run(&INSERT_TASK, bound).await
}

async fn insert_stream(tx: &mut Tx, scope: Scope, row: TaskRowId, stream: &Stream) -> Result<u64> {
    let bound = params![
        row,
        scope.organization,
        scope.project,
        scope.environment,
        stream.direction.as_str(),
        stream.name,
        stream.schema
    ];
    tx.run(&INSERT_STREAM, bound).await
}

/// Makes a deployment the environment's current one. Rolling back is promoting an older one. Promoting the current one
/// again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused(DeploymentNotReady)` unless it is deployed.
pub async fn promote(
    store: &Store,
    scope: Scope,
    id: DeploymentId,
    at: Moment,
) -> Result<Deployment> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                promote_in(tx, scope, id, at).await?;
                row::get(tx, scope, id)
                    .await?
                    .ok_or(Error::NotFound("deployment"))
            })
        })
        .await
}

async fn promote_in(tx: &mut Tx, scope: Scope, id: DeploymentId, at: Moment) -> Result<()> {
    let deployment = row::get(tx, scope, id)
        .await?
        .ok_or(Error::NotFound("deployment"))?;
    if deployment.promoted {
        return Ok(());
    }
    match deployment.status {
        Status::Deployed => {}
        Status::Queued | Status::Building | Status::Failed => {
            return Err(Refusal::DeploymentNotReady.into());
        }
    }
    let bound = params![
        scope.environment,
        scope.organization,
        scope.project,
        id,
        at.now
    ];
    tx.run(&PROMOTE, bound).await?;
    let event = Event::new(EventKind::DeploymentPromoted);
    let event = event.with("version", deployment.version.as_str());
    events::append(tx, about(scope, id), event, at).await
}
