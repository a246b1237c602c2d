//! Public access tokens, looked up.

use helmr_domain::{PublicTokenId, Scope};

use super::{Filter, PublicToken, row};
use crate::page::Newest;
use crate::{Page, Result, Store};

/// Finds a token, also one that is expired, spent or revoked: the caller tells these apart.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, hash: [u8; 32]) -> Result<Option<PublicToken>> {
    store
        .read(hash, |tx, hash| Box::pin(row::find(tx, *hash)))
        .await
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: PublicTokenId) -> Result<Option<PublicToken>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(row::get(tx, scope, id))
        })
        .await
}

/// Lists public access tokens, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    filter: Filter,
    before: Option<PublicTokenId>,
    limit: u32,
) -> Result<Page<PublicToken, PublicTokenId>> {
    let newest = Newest {
        scope,
        before,
        limit,
    };
    store
        .read((newest, filter), |tx, (newest, filter)| {
            Box::pin(async move {
                let found = row::list(tx, newest, filter).await?;
                Ok(Page::cut(found, newest.limit, |token| token.id))
            })
        })
        .await
}
