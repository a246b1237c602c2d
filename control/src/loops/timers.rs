//! Fires timers when they are due. Sleeps until the next one.

use std::time::Duration;

use helmr_domain::Timestamp;
use helmr_store::{Hint, timers};

use super::wake::{self, Woken};
use crate::{ApiError, Control};

const BATCH: u32 = 100;
/// Brings timers that another process armed.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);
const AFTER_FAILURE: Duration = Duration::from_secs(1);

pub(super) async fn run(control: Control) {
    let mut hints = control.store.hints();
    loop {
        let (next, pause) = match fire(&control).await {
            Ok(next) => (next, LOOK_ANYWAY),
            Err(error) => {
                tracing::error!(cause = error.cause(), "timers failed");
                (None, AFTER_FAILURE)
            }
        };
        let due = async {
            match next {
                Some(next) => control.clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        let hinted = wake::wait(&control, &mut hints, pause, |hint| *hint == Hint::Timers);
        let woken = tokio::select! {
            () = due => Woken::Look,
            woken = hinted => woken,
        };
        if woken == Woken::End {
            return;
        }
    }
}

/// Fires what is due; gives the time of the next one.
async fn fire(control: &Control) -> Result<Option<Timestamp>, ApiError> {
    loop {
        let fired = timers::fire_due(&control.store, control.moment()?, BATCH).await?;
        let next = timers::next_due(&control.store).await?;
        let is_due = next.is_some_and(|next| next <= control.now());
        if !is_due || control.ending.is_cancelled() {
            return Ok(next);
        }
        if fired.fired == 0 {
            // Asking again at once would only ask in circles.
            return Err(ApiError::internal_text("a timer that is due does not fire"));
        }
    }
}
