//! Deployments, looked up.

use helmr_domain::{DeploymentId, ResourceName, Scope};

use super::{Deployment, Sandbox, Stream, row};
use crate::runs::after_all;
use crate::{Page, Result, Store};

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: DeploymentId) -> Result<Option<Deployment>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(row::get(tx, scope, id))
        })
        .await
}

/// Lists deployments, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    before: Option<DeploymentId>,
    limit: u32,
) -> Result<Page<Deployment, DeploymentId>> {
    store
        .read((scope, before, limit), |tx, input| {
            let (scope, before, limit) = *input;
            Box::pin(async move {
                let before = before.map_or_else(after_all, |id| id.to_string());
                let found = row::list(tx, scope, &before, u64::from(limit) + 1).await?;
                Ok(Page::cut(found, limit, |deployment| deployment.id))
            })
        })
        .await
}

/// The promoted deployment of an environment.
///
/// # Errors
/// If the database fails.
pub async fn current(store: &Store, scope: Scope) -> Result<Option<Deployment>> {
    store
        .read(scope, |tx, scope| {
            Box::pin(async move {
                match row::current(tx, *scope).await? {
                    Some(id) => row::get(tx, *scope, id).await,
                    None => Ok(None),
                }
            })
        })
        .await
}

/// The sandboxes of a deployment, by name.
///
/// # Errors
/// If the database fails.
pub async fn sandboxes(store: &Store, scope: Scope, id: DeploymentId) -> Result<Vec<Sandbox>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                match row::get(tx, scope, id).await? {
                    Some(_) => row::list_sandboxes(tx, id).await,
                    None => Ok(Vec::new()),
                }
            })
        })
        .await
}

/// The streams that a deployment's tasks declare, those from `first` to `last`, by task, direction and name.
///
/// # Errors
/// If the database fails.
pub async fn streams(
    store: &Store,
    scope: Scope,
    id: DeploymentId,
    first: &ResourceName,
    last: &ResourceName,
) -> Result<Vec<Stream>> {
    let tasks = (first.clone(), last.clone());
    store
        .read((scope, id, tasks), |tx, (scope, id, (first, last))| {
            Box::pin(async move {
                match row::get(tx, *scope, *id).await? {
                    Some(_) => row::list_streams(tx, *id, first.as_str(), last.as_str()).await,
                    None => Ok(Vec::new()),
                }
            })
        })
        .await
}
