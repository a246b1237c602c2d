//! Drops versions that no rule keeps, a few workspaces at a time. What only they held goes with the next sweeps.

use helmr_domain::{Duration, WorkspaceId};
use helmr_store::retention;

use crate::{ApiError, Control};

/// Workspaces and versions in one transaction.
const BATCH: (u32, u32) = (50, 500);
const PERIOD: Duration = Duration::from_secs(600);

pub(super) async fn run(control: Control) {
    loop {
        match pass(&control).await {
            Ok(0) => {}
            Ok(dropped) => tracing::info!(dropped, "versions dropped"),
            Err(error) => tracing::error!(cause = error.cause(), "retention failed"),
        }
        let next = control.now().after(PERIOD);
        tokio::select! {
            () = control.ending.cancelled() => return,
            () = control.clock.sleep_until(next) => {}
        }
    }
}

/// Looks at every workspace once. Gives how many versions were dropped.
async fn pass(control: &Control) -> Result<u64, ApiError> {
    let mut dropped = 0;
    let mut after: Option<WorkspaceId> = None;
    loop {
        let passed =
            retention::drop_expired(&control.store, after, BATCH, control.moment()?).await?;
        dropped += passed.dropped;
        if passed.done || control.ending.is_cancelled() {
            return Ok(dropped);
        }
        after = passed.up_to;
    }
}
