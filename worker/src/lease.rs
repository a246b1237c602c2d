//! The right to act, kept: a heartbeat renews every lease, and what cannot be renewed is stopped in time.

use std::sync::Arc;
use std::time::Duration;

use helmr_api::worker::{Heartbeat, HeartbeatAnswer, HeldLease};
use helmr_machine::Driver;
use tokio::time::Instant;

use crate::base::Base;
use crate::client::{Client, Failure};
use crate::dispatcher::Dispatcher;

/// After a failed heartbeat the next one comes soon.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Runs until it is aborted.
pub(crate) async fn keep<D: Driver>(
    base: Arc<Base<D>>,
    dispatcher: Arc<Dispatcher<D>>,
    interval: Duration,
    ttl: Duration,
) {
    let mut answered = true;
    loop {
        let asked_at = Instant::now();
        let asked = dispatcher.leases();
        let body = Heartbeat {
            free: dispatcher.free(),
            leases: asked.clone(),
            draining: base.draining.is_cancelled(),
        };
        let mut wait = interval;
        match beat(&base.client, &body, interval.min(ttl / 4)).await {
            Ok(answer) => {
                answered = true;
                dispatcher.renewed(&asked, &answer, asked_at);
            }
            Err(failure) => {
                if std::mem::take(&mut answered) {
                    tracing::warn!(%failure, "the leases were not renewed; trying on");
                }
                wait = wait.min(RETRY_AFTER);
            }
        }
        dispatcher.freeze_expiring(freeze_after(ttl));
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = base.renew.notified() => {}
        }
    }
}

/// Renews once.
pub(crate) async fn beat(
    client: &Client,
    body: &Heartbeat,
    deadline: Duration,
) -> Result<HeartbeatAnswer, Failure> {
    client
        .post_once("/worker/v1/heartbeat", body, deadline)
        .await
}

/// How long after its last renewal a lease's machine is paused: what is left covers the pause and the next heartbeat.
pub(crate) fn freeze_after(ttl: Duration) -> Duration {
    ttl / 8 * 5
}

/// Whether an answer says that a lease is another's. A lease that it does not mention is neither lost nor renewed.
pub(crate) fn is_lost(answer: &HeartbeatAnswer, lease: &HeldLease) -> bool {
    answer.lost.contains(&lease.workspace_id) && !answer.renewed.contains(lease)
}
