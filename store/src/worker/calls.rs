//! First answers to calls of tasks.

use helmr_domain::Moment;
use serde_json::Value;

use crate::worker::RunFence;
use crate::{Result, Store};

#[derive(Debug, Clone, PartialEq)]
pub struct Answered {
    pub answer: Value,
    pub sealed: Option<Vec<u8>>,
}

/// The answer kept of a call, if there is one.
///
/// # Errors
/// `Stale`.
pub async fn answered(store: &Store, fence: RunFence, call_no: u64) -> Result<Option<Answered>> {
    todo!()
}

#[derive(Debug, Clone)]
pub struct RecordAnswer {
    pub at: Moment,
    pub fence: RunFence,
    pub call_no: u64,
    pub answer: Value,
}

/// Keeps an answer, for refusals and for calls that change nothing themselves. The first one kept stays and is answered.
///
/// # Errors
/// `Stale`.
pub async fn record_answer(store: &Store, input: RecordAnswer) -> Result<Value> {
    todo!()
}
