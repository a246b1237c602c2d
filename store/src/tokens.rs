//! Tokens: made by tasks and clients, completed once.

mod change;
mod list;
mod read;
mod row;

use helmr_domain::{
    CanonicalJson, Moment, PublicTokenId, RunId, Scope, SessionId, Timestamp, TokenId, token,
};
use serde_json::Value;

use crate::idempotency::Origin;

pub use change::{cancel, complete, create};
pub(crate) use change::{end_attempt, expire, outcome_of};
pub use read::{find_by_callback_hash, get, list};
pub(crate) use row::find;

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub id: TokenId,
    pub scope: Scope,
    pub run_id: Option<RunId>,
    pub session_id: Option<SessionId>,
    pub state: token::State,
    pub timeout_at: Timestamp,
    pub tags: Vec<String>,
    pub metadata: Value,
    pub created_at: Timestamp,
}

/// A token to make. Its secrets come hashed.
#[derive(Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    pub timeout_at: Timestamp,
    pub tags: Vec<String>,
    pub metadata: Value,
    pub callback_hash: [u8; 32],
    /// Of the public access token that may complete it.
    pub public_hash: [u8; 32],
    pub allowed_origins: Vec<String>,
    /// A task's token ends with its attempt.
    pub origin: Origin<Token>,
}

#[derive(Debug, Clone)]
pub struct Complete {
    pub at: Moment,
    pub scope: Scope,
    pub token: TokenId,
    pub data: CanonicalJson,
    /// Spends one use of it, if the completion is the first.
    pub public_token: Option<PublicTokenId>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    pub token: Token,
    /// Someone had completed it with the same data.
    pub already_completed: bool,
}

/// Which tokens to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub status: Option<String>,
    pub run: Option<RunId>,
    pub session: Option<SessionId>,
    pub tag: Option<String>,
}
