//! Tasks of the promoted deployment.

use helmr_domain::{DeploymentId, ResourceName, Scope, TaskRowId};

use crate::db::{Tx, params, sql};
pub use crate::deployments::Task;
use crate::deployments::{find_task, list_tasks};
use crate::{Page, Result, Store};

sql! {
    /// The promoted deployment of an environment.
    PROMOTED = "SELECT deployment_id
        FROM promotions
        WHERE environment_id = $1 AND organization_id = $2 AND project_id = $3
        ORDER BY number DESC
        LIMIT 1";

    FIND_BY_NAME = "SELECT id
        FROM deployment_tasks
        WHERE deployment_id = $1 AND task_id = $2";
}

pub(crate) async fn promoted(tx: &mut Tx, scope: Scope) -> Result<Option<DeploymentId>> {
    let bound = params![scope.environment, scope.organization, scope.project];
    let found = tx.find(&PROMOTED, bound).await?;
    found.map(|mut row| row.take("deployment_id")).transpose()
}

/// Lists the promoted deployment's tasks by their ids, ascending.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    after: Option<ResourceName>,
    limit: u32,
) -> Result<Page<Task, ResourceName>> {
    store
        .read((scope, after, limit), |tx, input| {
            Box::pin(async move {
                let (scope, after, limit) = input;
                let found = match promoted(tx, *scope).await? {
                    Some(id) => {
                        let after = after.as_ref().map_or("", ResourceName::as_str);
                        list_tasks(tx, id, after, u64::from(*limit) + 1).await?
                    }
                    None => Vec::new(),
                };
                Ok(Page::cut(found, *limit, |task| task.task_id.clone()))
            })
        })
        .await
}

/// The promoted deployment's task of that id.
///
/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, task_id: &str) -> Result<Option<Task>> {
    store
        .read((scope, task_id.to_owned()), |tx, (scope, task_id)| {
            Box::pin(async move {
                let Some(deployment) = promoted(tx, *scope).await? else {
                    return Ok(None);
                };
                let bound = params![deployment, task_id];
                let Some(mut row) = tx.find(&FIND_BY_NAME, bound).await? else {
                    return Ok(None);
                };
                let id: TaskRowId = row.take("id")?;
                find_task(tx, id).await
            })
        })
        .await
}

/// A task of any deployment.
///
/// # Errors
/// If the database fails.
pub async fn get_row(store: &Store, scope: Scope, id: TaskRowId) -> Result<Option<Task>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = find_task(tx, id).await?;
                Ok(found.filter(|task| task.scope == scope))
            })
        })
        .await
}

/// All tasks of one deployment, by their ids.
///
/// # Errors
/// If the database fails.
pub async fn of_deployment(store: &Store, scope: Scope, id: DeploymentId) -> Result<Vec<Task>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                // A bundle's index is bounded where it is taken in.
                let found = list_tasks(tx, id, "", u64::from(u32::MAX)).await?;
                Ok(found
                    .into_iter()
                    .filter(|task| task.scope == scope)
                    .collect())
            })
        })
        .await
}
