//! Answers that are kept, so that a repeated request or call changes nothing.

use std::sync::Arc;

use helmr_domain::{Moment, Refusal, Scope, limits};
use serde_json::Value;

use crate::db::{Statement, Tx, params, sql};
use crate::worker::RunFence;
use crate::{Result, Store, runs};

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

sql! {
    FIND = "SELECT request_hash, answer, sealed, created_at
        FROM idempotency_keys
        WHERE environment_id = $1 AND key = $2";

    SAVE = "INSERT INTO idempotency_keys (
            environment_id, key, organization_id, project_id, request_hash, answer, sealed,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (environment_id, key) DO NOTHING";

    /// Takes the place of an answer that is too old to be given.
    KEEP = "INSERT INTO idempotency_keys (
            environment_id, key, organization_id, project_id, request_hash, answer, sealed,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (environment_id, key)
            DO UPDATE SET request_hash = excluded.request_hash, answer = excluded.answer,
                sealed = excluded.sealed, created_at = excluded.created_at";

    FIND_CALL = "SELECT answer, sealed
        FROM run_calls
        WHERE run_id = $1 AND attempt = $2 AND call_no = $3";

    SAVE_CALL = "INSERT INTO run_calls (run_id, attempt, call_no, answer, sealed, created_at)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (run_id, attempt, call_no) DO NOTHING";

    SWEEP_KEYS = "DELETE FROM idempotency_keys
        WHERE created_at IN (
            SELECT created_at
            FROM idempotency_keys
            WHERE created_at <= $1
            ORDER BY created_at
            LIMIT $2
        )";

    SWEEP_SECRETS = "UPDATE idempotency_keys
        SET sealed = NULL
        WHERE sealed IS NOT NULL AND created_at IN (
            SELECT created_at
            FROM idempotency_keys
            WHERE created_at <= $1 AND sealed IS NOT NULL
            ORDER BY created_at
            LIMIT $2
        )";
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
    store
        .read((scope, at, key.to_owned(), request_hash), |tx, input| {
            Box::pin(async move {
                let (scope, at, key, request_hash) = input;
                find_in(tx, *scope, *at, key, *request_hash).await
            })
        })
        .await
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
    store
        .write(input, |tx, input| Box::pin(save_in(tx, &SAVE, input)))
        .await
}

/// Drops keys that are 30 days old and secrets that are 24 hours old, about `limit` of each.
///
/// # Errors
/// If the database fails.
pub async fn sweep(store: &Store, at: Moment, limit: u32) -> Result<()> {
    store
        .write((at, limit), |tx, input| {
            let (at, limit) = *input;
            Box::pin(async move {
                let old = |kept: helmr_domain::Duration| at.now.before(kept);
                tx.run(&SWEEP_KEYS, params![old(limits::IDEMPOTENCY_KEPT), limit])
                    .await?;
                let secrets = old(limits::IDEMPOTENCY_SECRETS_KEPT);
                tx.run(&SWEEP_SECRETS, params![secrets, limit]).await?;
                Ok(())
            })
        })
        .await
}

async fn find_in(
    tx: &mut Tx,
    scope: Scope,
    at: Moment,
    key: &str,
    request_hash: [u8; 32],
) -> Result<Option<Answer>> {
    let Some(mut row) = tx.find(&FIND, params![scope.environment, key]).await? else {
        return Ok(None);
    };
    let kept_hash: [u8; 32] = row.take("request_hash")?;
    let answer = row.take("answer")?;
    let sealed: Option<Vec<u8>> = row.take("sealed")?;
    let created_at: helmr_domain::Timestamp = row.take("created_at")?;
    if at.now >= created_at.after(limits::IDEMPOTENCY_KEPT) {
        return Ok(None);
    }
    if kept_hash != request_hash {
        return Err(Refusal::IdempotencyKeyReused.into());
    }
    let fresh = at.now < created_at.after(limits::IDEMPOTENCY_SECRETS_KEPT);
    Ok(Some(Answer {
        answer,
        sealed: sealed.filter(|_| fresh),
    }))
}

async fn save_in(tx: &mut Tx, statement: &'static Statement, input: &Save) -> Result<()> {
    tx.run(
        statement,
        params![
            input.scope.environment,
            input.key,
            input.scope.organization,
            input.scope.project,
            input.request_hash,
            input.answer,
            input.sealed,
            input.at.now
        ],
    )
    .await
    .map(drop)
}

/// The answer that was kept of a call, if the attempt is still the worker's.
pub(crate) async fn find_call(
    tx: &mut Tx,
    fence: RunFence,
    call_no: u64,
) -> Result<Option<Answer>> {
    let bound = params![fence.run_id, fence.attempt, call_no];
    let Some(mut row) = tx.find(&FIND_CALL, bound).await? else {
        return Ok(None);
    };
    Ok(Some(Answer {
        answer: row.take("answer")?,
        sealed: row.take("sealed")?,
    }))
}

/// Keeps the first answer to a call.
pub(crate) async fn save_call(
    tx: &mut Tx,
    fence: RunFence,
    call_no: u64,
    kept: &Answer,
    at: Moment,
) -> Result<()> {
    let bound = params![
        fence.run_id,
        fence.attempt,
        call_no,
        kept.answer,
        kept.sealed,
        at.now
    ];
    tx.run(&SAVE_CALL, bound).await.map(drop)
}

/// What was answered before, if the same was asked before.
///
/// # Errors
/// `Stale` for a call of an attempt that is over; `Refused(IdempotencyKeyReused)`.
pub(crate) async fn replayed<T>(
    tx: &mut Tx,
    scope: Scope,
    origin: &Origin<T>,
    at: Moment,
) -> Result<Option<Kept<T>>> {
    let found = match origin {
        Origin::Client(None) => None,
        Origin::Client(Some(asked)) => {
            find_in(tx, scope, at, &asked.key, asked.request_hash).await?
        }
        Origin::Task(call) => {
            runs::fenced(tx, call.fence).await?;
            find_call(tx, call.fence, call.call_no).await?
        }
    };
    Ok(found.map(|Answer { answer, sealed }| Kept::Replayed { answer, sealed }))
}

/// Keeps `value` as the first answer, if the origin asks for that.
pub(crate) async fn keep<T>(
    tx: &mut Tx,
    scope: Scope,
    origin: Origin<T>,
    value: T,
    at: Moment,
) -> Result<Kept<T>> {
    match origin {
        Origin::Client(None) => {}
        Origin::Client(Some(asked)) => {
            let save = Save {
                at,
                scope,
                answer: (asked.answer)(&value),
                key: asked.key,
                request_hash: asked.request_hash,
                sealed: asked.sealed,
            };
            // Nothing is there that could still be answered: that was looked for first.
            save_in(tx, &KEEP, &save).await?;
        }
        Origin::Task(call) => {
            let kept = Answer {
                answer: (call.answer)(&value),
                sealed: call.sealed,
            };
            save_call(tx, call.fence, call.call_no, &kept, at).await?;
        }
    }
    Ok(Kept::Fresh(value))
}
