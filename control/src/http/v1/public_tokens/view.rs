//! Public access tokens as clients see them.

use helmr_api::http::public_tokens::{Capability, PublicToken};
use helmr_store::public_tokens::{Grant, PublicToken as Row};

use crate::http::v1::streams::view::wire_direction;

pub(crate) fn public_token(row: &Row) -> PublicToken {
    let count = |uses: u64| u32::try_from(uses).unwrap_or(u32::MAX);
    PublicToken {
        id: row.id,
        capability: capability(&row.grant),
        max_uses: row.max_uses.map(count),
        uses: count(row.uses),
        allowed_origins: row.allowed_origins.clone(),
        expires_at: row.expires_at.map(Into::into),
        revoked_at: row.revoked_at.map(Into::into),
        created_at: row.created_at.into(),
    }
}

fn capability(grant: &Grant) -> Capability {
    match grant {
        Grant::CompleteToken(id) => Capability::Token { token_id: *id },
        Grant::Stream {
            session,
            direction,
            stream,
            correlation_id,
        } => Capability::Stream {
            session_id: *session,
            stream: stream.to_string(),
            direction: wire_direction(*direction),
            correlation_id: correlation_id.clone(),
        },
    }
}
