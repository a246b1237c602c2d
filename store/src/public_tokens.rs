//! Public access tokens, known by their hash.

use helmr_domain::{
    PublicTokenId, Scope, SessionId, StreamName, Timestamp, TokenId, stream::Direction,
};

use crate::{Result, Store};

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

/// Finds a token, also one that is expired, spent or revoked: the caller tells these apart.
///
/// # Errors
/// If the database fails.
pub async fn find(store: &Store, hash: [u8; 32]) -> Result<Option<PublicToken>> {
    todo!()
}
