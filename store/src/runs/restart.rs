//! Runs, told to stop and started again.

use helmr_domain::run::StopReason;
use helmr_domain::{Moment, Refusal, RunId, Scope};

use super::{Retry, Run, row};
use crate::db::Tx;
use crate::idempotency::{self, Kept, Origin};
use crate::sessions::{self, Next, Why};
use crate::{Error, Result, Store};

/// Tells a run to stop: a queued one ends at once, a running one has a grace, a parked one is woken for it. Cancelling it
/// again changes nothing. `text` is for the task and for people.
///
/// # Errors
/// `NotFound`; `Refused(RunFinished)` if it ended otherwise.
pub async fn cancel(
    store: &Store,
    scope: Scope,
    id: RunId,
    text: Option<String>,
    at: Moment,
) -> Result<Run> {
    store
        .write((scope, id, text, at), |tx, input| {
            Box::pin(async move {
                let (scope, id, text, at) = input;
                get(tx, *scope, *id).await?;
                let why = Why {
                    reason: StopReason::Cancelled,
                    text: text.clone(),
                };
                sessions::stop_run(tx, *id, why, *at).await?;
                get(tx, *scope, *id).await
            })
        })
        .await
}

async fn get(tx: &mut Tx, scope: Scope, id: RunId) -> Result<Run> {
    row::find(tx, id)
        .await?
        .map(|row| row.run)
        .filter(|run| run.scope == scope)
        .ok_or(Error::NotFound("run"))
}

/// Starts a new run of a finished run's session.
///
/// # Errors
/// `NotFound`; `Refused`: `RunNotFinished`, `SessionNotOpen`, `SessionRunActive`.
pub async fn start_retry(store: &Store, input: Retry) -> Result<Kept<Run>> {
    store
        .write(input, |tx, input| Box::pin(retry_in(tx, input)))
        .await
}

async fn retry_in(tx: &mut Tx, input: &Retry) -> Result<Kept<Run>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let run = get(tx, scope, input.run).await?;
    if !run.state.status().is_final() {
        return Err(Refusal::RunNotFinished.into());
    }
    let mut session = sessions::find(tx, run.session_id)
        .await?
        .ok_or(Error::NotFound("session"))?;
    let next = Next {
        id: at.ids().make(RunId::new),
        reason: "retry",
        provenance: &input.provenance,
    };
    let (fresh, created) = sessions::create_run(tx, &mut session, next, at).await?;
    if !created {
        let run_id = fresh.run.id;
        return Err(Refusal::SessionRunActive { run_id }.into());
    }
    idempotency::keep(tx, scope, origin, fresh.run, at).await
}
