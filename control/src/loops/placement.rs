//! Gives queued work to workers: wakes first, then new starts.

use std::time::Duration;

use helmr_api::fault;
use helmr_store::Hint;
use helmr_store::worker::{self, PlaceNext, Placed};

use super::wake::{self, Woken};
use crate::{ApiError, Control};

const BATCH: u32 = 50;
/// Brings what no hint told: a worker that grew stale, or news of another process.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) async fn run(control: Control) {
    let mut hints = control.store.hints();
    loop {
        let pause = match place_all(&control).await {
            Ok(()) => LOOK_ANYWAY,
            Err(error) => {
                tracing::error!(cause = error.cause(), "placement failed");
                AFTER_FAILURE
            }
        };
        let woken = wake::wait(&control, &mut hints, pause, |hint| *hint == Hint::Queue).await;
        if woken == Woken::End {
            return;
        }
    }
}

async fn place_all(control: &Control) -> Result<(), ApiError> {
    loop {
        let input = PlaceNext {
            at: control.moment()?,
            lease_ttl: control.settings.lease_ttl,
            worker_fresh_for: control.settings.worker_lost_after,
            limit: BATCH,
        };
        let placed = worker::place_next(&control.store, input).await?;
        if !placed.is_empty() {
            fault::point("control.place.after_commit");
        }
        for Placed {
            workspace_id,
            worker_id,
            epoch,
            kind,
            ..
        } in &placed
        {
            tracing::debug!("workspace.id" = %workspace_id, "worker.id" = %worker_id, "lease.epoch" = %epoch,
                ?kind, "placed");
        }
        let full = u32::try_from(placed.len()).unwrap_or(u32::MAX) >= BATCH;
        if !full || control.ending.is_cancelled() {
            return Ok(());
        }
    }
}
