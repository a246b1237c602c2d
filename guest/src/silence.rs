//! A machine that no worker speaks to stops: another one may be made from its workspace meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::processes;

/// At most this much counts between two measurements: the clock runs on while a machine is paused or parked, and that is
/// not silence.
const LONGEST_STEP: Duration = Duration::from_secs(2);

/// What is known of the worker's silence.
#[derive(Debug)]
pub(crate) struct Silence {
    limit: Option<Duration>,
    lasted: Duration,
    measured: Instant,
    stopped: Option<BTreeSet<i32>>,
}

impl Silence {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            limit: None,
            lasted: Duration::ZERO,
            measured: now,
            stopped: None,
        }
    }

    /// Sets the limit; zero means none.
    pub(crate) fn limit_to(&mut self, limit_ms: u64) {
        self.limit = (limit_ms > 0).then(|| Duration::from_millis(limit_ms));
    }

    /// A worker spoke: everything goes on.
    pub(crate) fn broken(&mut self) {
        self.lasted = Duration::ZERO;
        if let Some(stopped) = self.stopped.take() {
            processes::continue_all(&stopped);
        }
    }

    /// Counts the time since the last measurement, and stops everything once the limit is reached. To be called at least
    /// each second.
    pub(crate) fn measure(&mut self, now: Instant) {
        if self.count(now) && self.stopped.is_none() {
            self.stopped = Some(processes::stop_all());
        }
    }

    fn count(&mut self, now: Instant) -> bool {
        self.lasted += now.duration_since(self.measured).min(LONGEST_STEP);
        self.measured = now;
        self.limit.is_some_and(|limit| self.lasted >= limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_counted_in_steps_so_that_a_park_is_none() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.limit_to(3_500);
        assert!(
            !silence.count(start + Duration::from_secs(3600)),
            "one long step is two seconds"
        );
        assert!(!silence.count(start + Duration::from_secs(3601)));
        assert!(silence.count(start + Duration::from_secs(3602)));
        silence.broken();
        assert!(!silence.count(start + Duration::from_secs(3603)));
    }

    #[test]
    fn without_a_limit_silence_never_ends() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.limit_to(0);
        assert!((1..1000).all(|second| !silence.count(start + Duration::from_secs(second))));
    }
}
