//! Takes back leases that ran out.

use helmr_domain::{Duration, Timestamp};
use helmr_store::worker;

use crate::{ApiError, Control};

const BATCH: u32 = 50;
const PERIOD: Duration = Duration::from_secs(5);
/// Whoever sleeps that much longer than it meant to was suspended or stopped, and heard of no worker meanwhile.
const OVERSLEPT: Duration = Duration::from_secs(10);

pub(super) async fn run(control: Control) {
    // Whatever was held while no control plane ran could not be renewed: every worker first has a lease's time to come back.
    let mut next = control.now().after(control.settings.lease_ttl);
    loop {
        tokio::select! {
            () = control.ending.cancelled() => return,
            () = control.clock.sleep_until(next) => {}
        }
        let late = control.clock.overslept(next);
        if late < OVERSLEPT {
            if let Err(error) = reap(&control).await {
                tracing::error!(cause = error.cause(), "the lease reaper failed");
            }
        } else {
            tracing::warn!(
                late_ms = late.as_millis(),
                "this process was held up: workers have a lease's time to come back"
            );
        }
        next = next_look(control.now(), late, control.settings.lease_ttl);
    }
}

/// When to look again, `late` after the time that was meant.
fn next_look(now: Timestamp, late: Duration, lease_ttl: Duration) -> Timestamp {
    now.after(if late < OVERSLEPT { PERIOD } else { lease_ttl })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_suspended_gives_workers_the_time_of_a_lease() {
        let (now, ttl) = (Timestamp::from_micros(0), Duration::from_secs(120));
        let look = |late| next_look(now, Duration::from_secs(late), ttl).since(now);
        assert_eq!([look(0), look(9)], [PERIOD; 2]);
        assert_eq!([look(10), look(28_800)], [ttl; 2]);
    }
}
