//! The only place that reads a clock. Everything else is handed a time.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use helmr_domain::{Duration, Timestamp};
use tokio::sync::watch;

/// Longest single sleep: a clock that was set forward is noticed after it.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(60);

/// Tells the time and waits for it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Clock(Source);

#[derive(Debug, Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<watch::Sender<Timestamp>>),
}

impl Clock {
    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// Moves a manual clock forward and wakes what waits for the new time. The system's clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(time) = &self.0 {
            time.send_modify(|now| *now = now.after(span));
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the clock"
    )]
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// Returns once it is `due` or later. Cancel-safe.
    pub async fn sleep_until(&self, due: Timestamp) {
        match &self.0 {
            Source::System => loop {
                let rest = due.since(self.now());
                if rest == Duration::ZERO {
                    return;
                }
                let rest = std::time::Duration::from_micros(rest.as_micros().unsigned_abs());
                tokio::time::sleep(rest.min(LONGEST_SLEEP)).await;
            },
            Source::Manual(time) => {
                let mut moved = time.subscribe();
                // The sender lives as long as this clock does, so the wait ends only by the time.
                drop(moved.wait_for(|now| *now >= due).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_sleepers_when_it_is_moved() {
        let clock = Clock::manual(Timestamp::from_micros(1_000));
        let due = Timestamp::from_micros(2_000);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until(due).await;
                clock.now()
            }
        });
        clock.advance(Duration::from_micros(500));
        assert!(clock.now() < due);
        clock.advance(Duration::from_micros(500));
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), sleeper).await;
        assert!(matches!(woken, Ok(Ok(at)) if at == due), "{woken:?}");
    }
}
