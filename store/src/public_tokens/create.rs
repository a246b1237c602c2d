//! Public access tokens, made.

use helmr_domain::{PublicTokenId, Refusal, TokenId};

use super::row::{self, New};
use super::{Create, Grant, PublicToken};
use crate::db::Tx;
use crate::idempotency::{self, Kept, Origin};
use crate::{Error, Result, Store, sessions, streams, tokens};

/// Makes a public access token for a token, or for a stream that the session's task declares.
///
/// # Errors
/// `NotFound` for token or session; `Refused`: `StreamUnknown`, `IdempotencyKeyReused`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<PublicToken>> {
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<Kept<PublicToken>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    check_subject(tx, input).await?;
    let id = at.ids().make(PublicTokenId::new);
    let new = New {
        id,
        scope,
        hash: input.hash,
        grant: &input.grant,
        allowed_origins: &input.allowed_origins,
        expires_at: Some(input.expires_at),
        max_uses: input.max_uses,
        created_at: at.now,
    };
    row::insert(tx, &new).await?;
    let token = row::get(tx, scope, id)
        .await?
        .ok_or(Error::NotFound("public access token"))?;
    idempotency::keep(tx, scope, origin, token, at).await
}

/// What a token is for must be there.
async fn check_subject(tx: &mut Tx, input: &Create) -> Result<()> {
    match &input.grant {
        Grant::CompleteToken(id) => {
            tokens::find(tx, *id)
                .await?
                .filter(|found| found.token.scope == input.scope)
                .ok_or(Error::NotFound("token"))?;
        }
        Grant::Stream {
            session,
            direction,
            stream,
            ..
        } => {
            let found = sessions::find(tx, *session)
                .await?
                .filter(|found| found.session.scope == input.scope)
                .ok_or(Error::NotFound("session"))?;
            let task = found.session.task_row_id;
            if !streams::is_declared(tx, task, *direction, stream).await? {
                let stream = stream.to_string();
                return Err(Refusal::StreamUnknown { stream }.into());
            }
        }
    }
    Ok(())
}

/// Makes the public access token that may complete a token, for as long as that may be completed.
pub(crate) async fn grant_completion(
    tx: &mut Tx,
    token: TokenId,
    input: &tokens::Create,
) -> Result<()> {
    let new = New {
        id: input.at.ids().make(PublicTokenId::new),
        scope: input.scope,
        hash: input.public_hash,
        grant: &Grant::CompleteToken(token),
        allowed_origins: &input.allowed_origins,
        // The token's own state says what a late completion meets.
        expires_at: None,
        max_uses: None,
        created_at: input.at.now,
    };
    row::insert(tx, &new).await
}
