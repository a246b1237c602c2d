//! Tokens, looked up.

use helmr_domain::{Scope, TokenId};

use super::list::newest_first;
use super::{Filter, Token, row};
use crate::page::Newest;
use crate::{Page, Result, Store};

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: TokenId) -> Result<Option<Token>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = row::find(tx, id).await?.map(|row| row.token);
                Ok(found.filter(|token| token.scope == scope))
            })
        })
        .await
}

/// Lists tokens, newest first.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    filter: Filter,
    before: Option<TokenId>,
    limit: u32,
) -> Result<Page<Token, TokenId>> {
    let newest = Newest {
        scope,
        before,
        limit,
    };
    store
        .read((newest, filter), |tx, (newest, filter)| {
            Box::pin(async move {
                let found = newest_first(tx, newest, filter).await?;
                Ok(Page::cut(found, newest.limit, |token| token.id))
            })
        })
        .await
}

/// Finds a token by the secret in its callback URL.
///
/// # Errors
/// If the database fails.
pub async fn find_by_callback_hash(store: &Store, hash: [u8; 32]) -> Result<Option<Token>> {
    store
        .read(hash, |tx, hash| {
            Box::pin(async move {
                let found = row::find_by_callback(tx, *hash).await?;
                Ok(found.map(|row| row.token))
            })
        })
        .await
}
