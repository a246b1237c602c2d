//! Public access tokens, taken back.

use helmr_domain::{Moment, PublicTokenId, Scope};

use super::{PublicToken, row};
use crate::{Error, Hint, Result, Store};

/// Revokes a public access token: nothing is done with it any more, and whoever follows a stream by it stops. Revoking
/// it again changes nothing.
///
/// # Errors
/// `NotFound` if there is no such token.
pub async fn revoke(
    store: &Store,
    scope: Scope,
    id: PublicTokenId,
    at: Moment,
) -> Result<PublicToken> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                let mut token = row::get(tx, scope, id)
                    .await?
                    .ok_or(Error::NotFound("public access token"))?;
                if token.revoked_at.is_none() {
                    row::revoke(tx, id, at).await?;
                    token.revoked_at = Some(at.now);
                    tx.hint(Hint::PublicToken(id));
                }
                Ok(token)
            })
        })
        .await
}
