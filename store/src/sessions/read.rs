//! Sessions, looked up.

use helmr_domain::{Scope, SessionId};

use super::list::newest_first;
use super::{Filter, Session, row};
use crate::page::Newest;
use crate::{Page, Result, Store};

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: SessionId) -> Result<Option<Session>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move { Ok(row::get(tx, scope, id).await?.map(|row| row.session)) })
        })
        .await
}

/// The newest session of that external id, open ones first.
///
/// # Errors
/// If the database fails.
pub async fn find_by_external_id(
    store: &Store,
    scope: Scope,
    external_id: &str,
) -> Result<Option<Session>> {
    store
        .read(
            (scope, external_id.to_owned()),
            |tx, (scope, external_id)| {
                Box::pin(async move {
                    let found = row::find_newest(tx, *scope, external_id).await?;
                    Ok(found.map(|row| row.session))
                })
            },
        )
        .await
}

/// Lists sessions, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    filter: Filter,
    before: Option<SessionId>,
    limit: u32,
) -> Result<Page<Session, SessionId>> {
    let newest = Newest {
        scope,
        before,
        limit,
    };
    store
        .read((newest, filter), |tx, (newest, filter)| {
            Box::pin(async move {
                let found = newest_first(tx, newest, filter).await?;
                Ok(Page::cut(found, newest.limit, |session| session.id))
            })
        })
        .await
}
