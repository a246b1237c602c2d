//! How often, and after how long, a run is attempted again.

use crate::Duration;

/// The retry policy that a task declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// 1 to 10; 1 is no retry.
    pub max_attempts: u32,
    pub backoff: Backoff,
}

/// `min * factor^n`, at most `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
    /// In hundredths: 200 doubles.
    pub factor_percent: u32,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::default(),
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            factor_percent: 200,
        }
    }
}

impl Backoff {
    /// How long to wait after the `n`th failure, counted from 1.
    #[must_use]
    pub fn after(&self, n: u32) -> Duration {
        let mut span = self.min.as_micros();
        for _ in 1..n {
            if span >= self.max.as_micros() {
                break;
            }
            span = span.saturating_mul(i64::from(self.factor_percent)) / 100;
        }
        Duration::from_micros(span.min(self.max.as_micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit() {
        let backoff = Backoff::default();
        let seconds: Vec<_> = [1, 2, 3, 7, 1_000_000]
            .map(|n| backoff.after(n).as_millis() / 1_000)
            .to_vec();
        assert_eq!(seconds, [1, 2, 4, 60, 60]);
    }
}
