//! First answers to calls of tasks.

use helmr_domain::Moment;
use serde_json::Value;

pub use crate::idempotency::Answer as Answered;
use crate::worker::RunFence;
use crate::{Result, Store, idempotency, runs};

/// The answer kept of a call, if there is one.
///
/// # Errors
/// `Stale`.
pub async fn answered(store: &Store, fence: RunFence, call_no: u64) -> Result<Option<Answered>> {
    store
        .read((fence, call_no), |tx, input| {
            let (fence, call_no) = *input;
            Box::pin(async move {
                runs::fenced(tx, fence).await?;
                idempotency::find_call(tx, fence, call_no).await
            })
        })
        .await
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
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                runs::fenced(tx, input.fence).await?;
                if let Some(kept) = idempotency::find_call(tx, input.fence, input.call_no).await? {
                    return Ok(kept.answer);
                }
                let kept = Answered {
                    answer: input.answer.clone(),
                    sealed: None,
                };
                idempotency::save_call(tx, input.fence, input.call_no, &kept, input.at).await?;
                Ok(kept.answer)
            })
        })
        .await
}
