//! Drops kept answers and their secrets when their time is over.

use helmr_domain::Duration;
use helmr_store::idempotency;

use crate::{ApiError, Control};

const BATCH: u32 = 1_000;
const PERIOD: Duration = Duration::from_secs(600);

pub(super) async fn run(control: Control) {
    loop {
        if let Err(error) = sweep(&control).await {
            tracing::error!(cause = error.cause(), "the sweeper failed");
        }
        let next = control.now().after(PERIOD);
        tokio::select! {
            () = control.ending.cancelled() => return,
            () = control.clock.sleep_until(next) => {}
        }
    }
}

async fn sweep(control: &Control) -> Result<(), ApiError> {
    Ok(idempotency::sweep(&control.store, control.moment()?, BATCH).await?)
}
