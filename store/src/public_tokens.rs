//! Public access tokens: made, known by their hash, spent and revoked.

mod create;
mod read;
mod revoke;
mod row;

use helmr_domain::{
    Moment, PublicTokenId, Scope, SessionId, StreamName, Timestamp, TokenId, stream::Direction,
};

use crate::idempotency::Idempotency;

pub use create::create;
pub(crate) use create::grant_completion;
pub use read::{find, get, list};
pub use revoke::revoke;
pub(crate) use row::spend;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicToken {
    pub id: PublicTokenId,
    pub scope: Scope,
    pub grant: Grant,
    /// Empty: any.
    pub allowed_origins: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub max_uses: Option<u64>,
    pub uses: u64,
    pub revoked_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// The one thing that a public access token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    CompleteToken(TokenId),
    Stream {
        session: SessionId,
        direction: Direction,
        stream: StreamName,
        correlation_id: Option<String>,
    },
}

/// A public access token to make. It comes hashed.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    pub grant: Grant,
    pub hash: [u8; 32],
    pub allowed_origins: Vec<String>,
    pub expires_at: Timestamp,
    pub max_uses: Option<u64>,
    pub idempotency: Option<Idempotency<PublicToken>>,
}

/// Which public access tokens to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those that complete this token.
    pub token: Option<TokenId>,
    /// Those of this session's streams.
    pub session: Option<SessionId>,
}
