//! Sweeps the artifact store from time to time.

use helmr_domain::Duration;

use crate::{Control, ops};

/// Not in the midst of a start.
const FIRST: Duration = Duration::from_secs(600);
const PERIOD: Duration = Duration::from_secs(6 * 3600);

pub(super) async fn run(control: Control) {
    let mut next = control.now().after(FIRST);
    loop {
        tokio::select! {
            () = control.ending.cancelled() => return,
            () = control.clock.sleep_until(next) => {}
        }
        if let Err(error) = ops::storage::sweep(&control).await {
            tracing::error!(cause = error.cause(), "a sweep failed");
        }
        next = control.now().after(PERIOD);
    }
}
