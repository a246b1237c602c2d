//! Tokens: made by tasks and clients, completed once.

use helmr_domain::{
    CanonicalJson, Moment, PublicTokenId, RunId, Scope, SessionId, Timestamp, TokenId, token,
};
use serde_json::Value;

use crate::idempotency::{Kept, Origin};
use crate::{Page, Result, Store};

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

/// # Errors
/// `Stale`; `Refused(IdempotencyKeyReused)`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Token>> {
    todo!()
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

/// Completes a token and gives its waits their outcome. The same data again is the first completion.
///
/// # Errors
/// `NotFound`; `Refused`: `TokenExpired`, `TokenCancelled`, `TokenCompletionConflict`, `PublicTokenSpent`.
pub async fn complete(store: &Store, input: Complete) -> Result<Completion> {
    todo!()
}

/// Cancels a pending token. Cancelling it again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `TokenExpired`, `TokenCompleted`.
pub async fn cancel(store: &Store, scope: Scope, id: TokenId, at: Moment) -> Result<Token> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: TokenId) -> Result<Option<Token>> {
    todo!()
}

/// Which tokens to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub status: Option<String>,
    pub run: Option<RunId>,
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
    todo!()
}

/// Finds a token by the secret in its callback URL.
///
/// # Errors
/// If the database fails.
pub async fn find_by_callback_hash(store: &Store, hash: [u8; 32]) -> Result<Option<Token>> {
    todo!()
}
