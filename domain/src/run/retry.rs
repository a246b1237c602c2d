//! How often, and after how long, a run is attempted again.

use crate::Duration;

/// The retry policy that a task declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retry {
    /// 1 to 10; 1 is no retry.
    pub max_attempts: u32,
    pub backoff: Backoff,
}

/// `min * factor^n`, at most `max`, less up to half of it where `jitter` spreads the attempts of many runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Backoff {
    pub min: Duration,
    pub max: Duration,
    /// In hundredths: 200 doubles.
    pub factor_percent: u32,
    #[serde(default)]
    pub jitter: bool,
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
            jitter: false,
        }
    }
}

impl Backoff {
    /// How long to wait after the `n`th failure, counted from 1. `random` decides where jitter is asked for.
    #[must_use]
    pub fn after(&self, n: u32, random: u64) -> Duration {
        let longest = self.longest_after(n);
        if !self.jitter {
            return longest;
        }
        let half = longest.as_micros().unsigned_abs() / 2;
        let less = random % (half + 1);
        longest.saturating_sub(Duration::from_micros(
            i64::try_from(less).unwrap_or(i64::MAX),
        ))
    }

    fn longest_after(&self, n: u32) -> Duration {
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
            .map(|n| backoff.after(n, 7).as_millis() / 1_000)
            .to_vec();
        assert_eq!(seconds, [1, 2, 4, 60, 60]);
    }

    #[test]
    fn jitter_takes_up_to_half_of_the_wait() {
        let backoff = Backoff {
            jitter: true,
            ..Backoff::default()
        };
        let (half, whole) = (Duration::from_secs(2), Duration::from_secs(4));
        let spread: Vec<_> = [0, 1, 1_999_999, 2_000_000, 2_000_001, u64::MAX]
            .map(|random| backoff.after(3, random))
            .to_vec();
        assert!(spread.iter().all(|span| (half..=whole).contains(span)));
        assert_eq!((spread[0], spread[3], spread[4]), (whole, half, whole));
    }
}
