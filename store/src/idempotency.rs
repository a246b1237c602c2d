//! Answers that are kept, so that a repeated request or call changes nothing.

use std::sync::Arc;

use helmr_domain::{Moment, Scope};
use serde_json::Value;

use crate::worker::RunFence;
use crate::{Result, Store};

/// Renders what is kept as the first answer.
pub type Render<T> = Arc<dyn Fn(&T) -> Value + Send + Sync>;

/// An `Idempotency-Key` and the request it came with.
#[derive(Clone)]
pub struct Idempotency<T> {
    pub key: String,
    /// Of the canonical body, the route included.
    pub request_hash: [u8; 32],
    /// Secrets of the answer, sealed; kept for 24 hours.
    pub sealed: Option<Vec<u8>>,
    pub answer: Render<T>,
}

/// A call of a task.
#[derive(Clone)]
pub struct TaskCall<T> {
    pub fence: RunFence,
    pub call_no: u64,
    /// Secrets of the answer, sealed.
    pub sealed: Option<Vec<u8>>,
    pub answer: Render<T>,
}

/// Who asks for something that tasks and clients both may ask for.
#[derive(Clone)]
pub enum Origin<T> {
    Client(Option<Idempotency<T>>),
    Task(TaskCall<T>),
}

/// A result, or the answer that was kept of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept<T> {
    Fresh(T),
    Replayed {
        answer: Value,
        /// `None` if the answer has no secrets or they are dropped already.
        sealed: Option<Vec<u8>>,
    },
}

/// A kept answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub answer: Value,
    pub sealed: Option<Vec<u8>>,
}

/// Finds the answer kept under a key, for requests whose transaction does not keep it itself.
///
/// # Errors
/// `Refused(IdempotencyKeyReused)` if the key came with another request.
pub async fn find(
    store: &Store,
    scope: Scope,
    at: Moment,
    key: &str,
    request_hash: [u8; 32],
) -> Result<Option<Answer>> {
    todo!()
}

/// What to keep under a key.
#[derive(Debug, Clone)]
pub struct Save {
    pub at: Moment,
    pub scope: Scope,
    pub key: String,
    pub request_hash: [u8; 32],
    pub answer: Value,
    pub sealed: Option<Vec<u8>>,
}

/// Keeps an answer. The first one kept stays.
///
/// # Errors
/// If the database fails.
pub async fn save(store: &Store, input: Save) -> Result<()> {
    todo!()
}

/// Drops keys that are 30 days old and secrets that are 24 hours old, at most `limit` of each.
///
/// # Errors
/// If the database fails.
pub async fn sweep(store: &Store, at: Moment, limit: u32) -> Result<()> {
    todo!()
}
