//! Takes back leases that ran out.

use helmr_domain::Duration;
use helmr_store::worker;

use crate::{ApiError, Control};

const BATCH: u32 = 50;
const PERIOD: Duration = Duration::from_secs(5);

pub(super) async fn run(control: Control) {
    // Whatever was held while no control plane ran could not be renewed: every worker first has a lease's time to come back.
    let mut next = control.now().after(control.settings.lease_ttl);
    loop {
        tokio::select! {
            () = control.ending.cancelled() => return,
            () = control.clock.sleep_until(next) => {}
        }
        if let Err(error) = reap(&control).await {
            tracing::error!(cause = error.cause(), "the lease reaper failed");
        }
        next = control.now().after(PERIOD);
    }
}

async fn reap(control: &Control) -> Result<(), ApiError> {
    loop {
        let reaped = worker::reap_expired_leases(&control.store, control.moment()?, BATCH).await?;
        for lost in &reaped {
            tracing::warn!("workspace.id" = %lost.workspace_id, "worker.id" = %lost.worker_id, "lease expired");
        }
        let full = u32::try_from(reaped.len()).unwrap_or(u32::MAX) >= BATCH;
        if !full || control.ending.is_cancelled() {
            return Ok(());
        }
    }
}
