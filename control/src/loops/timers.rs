//! Fires timers when they are due. Sleeps until the next one, by the clock that it is due by.

use std::time::Duration;

use helmr_domain::Timestamp;
use helmr_domain::timer::Clock;
use helmr_store::Hint;
use helmr_store::timers::{self, Next};

use super::wake::{self, Woken};
use crate::{ApiError, Control};

const BATCH: u32 = 1_000;
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
                (Next::default(), AFTER_FAILURE)
            }
        };
        // A timer that is due later than the one slept on changes nothing.
        let sooner = |hint: &Hint| matches!(hint, Hint::Timer { clock, due_at } if next.is_before(*clock, *due_at));
        let hinted = wake::wait(&control, &mut hints, pause, sooner);
        let woken = tokio::select! {
            () = due(&control, Clock::Steady, next.steady) => Woken::Look,
            () = due(&control, Clock::Wall, next.wall) => Woken::Look,
            woken = hinted => woken,
        };
        if woken == Woken::End {
            return;
        }
    }
}

async fn due(control: &Control, clock: Clock, at: Option<Timestamp>) {
    match at {
        Some(at) => control.clock.sleep_by(clock, at).await,
        None => std::future::pending().await,
    }
}

/// Fires what is due; gives the times of the next ones.
async fn fire(control: &Control) -> Result<Next, ApiError> {
    loop {
        let fired = timers::fire_due(&control.store, control.moment()?, BATCH).await?;
        let next = timers::next_due(&control.store).await?;
        let now = control.moment()?;
        let is_due = next.steady.is_some_and(|next| next <= now.now)
            || next.wall.is_some_and(|next| next <= now.wall);
        if !is_due || control.ending.is_cancelled() {
            return Ok(next);
        }
        if fired.fired == 0 {
            // Asking again at once would only ask in circles.
            return Err(ApiError::internal_text("a timer that is due does not fire"));
        }
    }
}
