//! Pushes assignments that changed to the workers that hold them.
//!
//! The outbox only says which ones to look at: what is pushed is read anew, so losing, doubling or reordering a push does
//! no harm. A worker that connects has all of its assignments marked again.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use helmr_api::fault;
use helmr_domain::WorkerId;
use helmr_store::outbox::{self, Dirty};
use helmr_store::{Hint, worker};
use http::Method;

use super::wake::{self, Woken};
use crate::hub::Error;
use crate::{ApiError, Control, ops};

const BATCH: u32 = 64;
const AT_ONCE: usize = 32;
/// A worker takes an assignment over; it does not carry it out before it answers.
const DEADLINE: Duration = Duration::from_secs(10);
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) async fn run(control: Control) {
    let mut hints = control.store.hints();
    loop {
        let pause = match relay(&control).await {
            Ok(Round::AllTold) => LOOK_ANYWAY,
            Ok(Round::SomeLeft) => AFTER_FAILURE,
            Err(error) => {
                tracing::error!(cause = error.cause(), "the relay failed");
                AFTER_FAILURE
            }
        };
        let concerns = |hint: &Hint| matches!(hint, Hint::Assignment(_));
        if wake::wait(&control, &mut hints, pause, concerns).await == Woken::End {
            return;
        }
    }
}

enum Round {
    AllTold,
    /// A worker did not take what was pushed.
    SomeLeft,
}

async fn relay(control: &Control) -> Result<Round, ApiError> {
    loop {
        let pending = outbox::pending(&control.store, BATCH).await?;
        if pending.is_empty() {
            return Ok(Round::AllTold);
        }
        let count = pending.len();
        let told: Vec<Option<Dirty>> = stream::iter(pending)
            .map(|dirty| push(control, dirty))
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let told: Vec<Dirty> = told.into_iter().flatten().collect();
        let some_left = told.len() < count;
        if !told.is_empty() {
            outbox::done(&control.store, told).await?;
        }
        // Those left would be the next batch's first: they wait, the rest is looked at with them.
        if some_left || control.ending.is_cancelled() {
            return Ok(Round::SomeLeft);
        }
    }
}

/// Pushes one assignment. Gives it back if nothing is left to tell.
async fn push(control: &Control, dirty: Dirty) -> Option<Dirty> {
    let workspace = dirty.workspace_id;
    let assignment = match read(control, dirty).await {
        Ok(Some(assignment)) => assignment,
        // Nobody holds the lease: whoever did has let go by itself, or learns it from its heartbeat.
        Ok(None) => return Some(dirty),
        Err(error) => {
            tracing::error!("workspace.id" = %workspace, cause = error.cause(), "an assignment cannot be read");
            return None;
        }
    };
    let (worker, body) = assignment;
    fault::point("control.push.before");
    let path = format!("/v1/assignments/{workspace}");
    let pushed = control
        .hub
        .tell(worker, Method::PUT, &path, &body, DEADLINE)
        .await;
    match pushed {
        Ok(()) => {
            fault::point("control.push.after");
            Some(dirty)
        }
        // It is marked again when the worker connects.
        Err(Error::NotConnected) => Some(dirty),
        Err(error) => {
            tracing::warn!("workspace.id" = %workspace, "worker.id" = %worker, cause = ?error,
                "an assignment was not taken; it is pushed again");
            None
        }
    }
}

async fn read(
    control: &Control,
    dirty: Dirty,
) -> Result<Option<(WorkerId, helmr_api::worker::Assignment)>, ApiError> {
    let found = worker::assignment(&control.store, dirty.workspace_id).await?;
    let Some(assignment) = found else {
        return Ok(None);
    };
    let worker = assignment.worker_id;
    let body = ops::assignments::write(control, assignment).await?;
    Ok(Some((worker, body)))
}
