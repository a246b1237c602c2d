//! Runs, looked up.

use helmr_domain::{RunId, Scope};

use super::{Filter, Run, row};
use crate::events::{self, Event};
use crate::{Page, Result, Store, Subject};

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: RunId) -> Result<Option<Run>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = row::find(tx, id).await?.map(|row| row.run);
                Ok(found.filter(|run| run.scope == scope))
            })
        })
        .await
}

/// Lists runs, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    filter: Filter,
    before: Option<RunId>,
    limit: u32,
) -> Result<Page<Run, RunId>> {
    store
        .read((scope, filter, before, limit), |tx, input| {
            Box::pin(async move {
                let (scope, filter, before, limit) = input;
                let found = row::list(tx, *scope, filter, *before, *limit).await?;
                Ok(Page::cut(found, *limit, |run| run.id))
            })
        })
        .await
}

/// A run's events after a sequence, ascending.
///
/// # Errors
/// If the database fails.
pub async fn events(
    store: &Store,
    scope: Scope,
    id: RunId,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>> {
    events::list(store, scope, Subject::Run(id), after, limit).await
}
