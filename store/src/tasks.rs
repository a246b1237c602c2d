//! Tasks of the promoted deployment.

use helmr_domain::{DeploymentId, ResourceName, Scope, TaskRowId};

pub use crate::deployments::Task;
use crate::{Page, Result, Store};

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
    todo!()
}

/// The promoted deployment's task of that id.
///
/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, task_id: &str) -> Result<Option<Task>> {
    todo!()
}

/// A task of any deployment.
///
/// # Errors
/// If the database fails.
pub async fn get_row(store: &Store, scope: Scope, id: TaskRowId) -> Result<Option<Task>> {
    todo!()
}

/// All tasks of one deployment, by their ids.
///
/// # Errors
/// If the database fails.
pub async fn of_deployment(store: &Store, scope: Scope, id: DeploymentId) -> Result<Vec<Task>> {
    todo!()
}
