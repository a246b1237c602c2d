//! Tokens, looked up.

use helmr_domain::{Scope, TokenId};

use super::{Filter, Token, row};
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
    store
        .read((scope, filter, before, limit), |tx, input| {
            Box::pin(async move {
                let (scope, filter, before, limit) = input;
                let found = row::list(tx, *scope, filter, *before, *limit).await?;
                Ok(Page::cut(found, *limit, |token| token.id))
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
