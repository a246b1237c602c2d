//! The only place that reads clocks. Everything else is handed a time.
//!
//! The steady clock is the wall's time when the process started and what has passed since then, a suspended machine's sleep
//! included. Nobody can set it, so spans are measured with it and times are written down by it. The wall's clock can be
//! set forward and back at any time; it is asked only for times of day. `docs/decisions/0013-clocks.md` has the reasons.

mod watch;

use self::watch::Watch;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use helmr_domain::timer::Clock as By;
use helmr_domain::{Duration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Longest single sleep: should nobody tell of a clock that was set, it is noticed after it.
const LONGEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(30);

/// Tells the time and waits for it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System(Arc<System>),
    Manual(Arc<tokio::sync::watch::Sender<Times>>),
}

/// The steady clock's anchor, and who is told when the wall's clock was set.
#[derive(Debug)]
struct System {
    started: Timestamp,
    passed: Duration,
    /// Counts how often the wall's clock was set, as far as was noticed.
    set: tokio::sync::watch::Sender<u64>,
}

/// What both clocks show.
#[derive(Debug, Clone, Copy)]
struct Times {
    steady: Timestamp,
    wall: Timestamp,
}

impl Times {
    fn by(self, by: By) -> Timestamp {
        match by {
            By::Steady => self.steady,
            By::Wall => self.wall,
        }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Source::System(Arc::new(System {
            started: read_wall(),
            passed: read_boot(),
            set: tokio::sync::watch::Sender::new(0),
        })))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the clock"
)]
fn read_wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Since the machine booted, with the time that it was suspended.
fn read_boot() -> Duration {
    let read = clock_gettime(ClockId::Boottime);
    Duration::from_micros(read.tv_sec.saturating_mul(1_000_000) + read.tv_nsec / 1_000)
}

impl Clock {
    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        let times = Times {
            steady: start,
            wall: start,
        };
        Self(Source::Manual(Arc::new(tokio::sync::watch::Sender::new(
            times,
        ))))
    }

    /// Lets time pass on a manual clock and wakes what waits for the new time. The system's clock is not moved.
    pub fn advance(&self, span: Duration) {
        if let Source::Manual(times) = &self.0 {
            times.send_modify(|times| {
                times.steady = times.steady.after(span);
                times.wall = times.wall.after(span);
            });
        }
    }

    /// Sets the time of day of a manual clock, forward or back. No time passes.
    pub fn set(&self, wall: Timestamp) {
        if let Source::Manual(times) = &self.0 {
            times.send_modify(|times| times.wall = wall);
        }
    }

    /// The steady time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.times().steady
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.times().wall
    }

    fn times(&self) -> Times {
        match &self.0 {
            Source::System(system) => Times {
                steady: system
                    .started
                    .after(read_boot().saturating_sub(system.passed)),
                wall: read_wall(),
            },
            Source::Manual(times) => *times.borrow(),
        }
    }

    /// Returns once `due` has come by the steady clock. Cancel-safe.
    pub async fn sleep_until(&self, due: Timestamp) {
        self.sleep_by(By::Steady, due).await;
    }

    /// Returns once `due` has come by a clock. Cancel-safe.
    pub async fn sleep_by(&self, by: By, due: Timestamp) {
        match &self.0 {
            Source::System(system) => {
                let mut set = system.set.subscribe();
                loop {
                    let rest = due.since(self.times().by(by));
                    if rest == Duration::ZERO {
                        return;
                    }
                    let rest = std::time::Duration::from_micros(rest.as_micros().unsigned_abs());
                    tokio::select! {
                        () = tokio::time::sleep(rest.min(LONGEST_SLEEP)) => {}
                        // The sender lives as long as this clock does.
                        _ = set.changed() => {}
                    }
                }
            }
            Source::Manual(times) => {
                let mut moved = times.subscribe();
                // The sender lives as long as this clock does, so the wait ends only by the time.
                drop(moved.wait_for(|times| times.by(by) >= due).await);
            }
        }
    }

    /// How much later than `due` it is, for whoever slept until then. Nobody is late by a clock that is moved by hand.
    pub(crate) fn overslept(&self, due: Timestamp) -> Duration {
        match &self.0 {
            Source::System(_) => self.now().since(due),
            Source::Manual(_) => Duration::ZERO,
        }
    }

    /// Wakes what sleeps whenever the wall's clock is set, for as long as the answer is kept.
    pub(crate) fn watch(&self) -> Option<Watch> {
        let Source::System(system) = &self.0 else {
            return None;
        };
        let told = Arc::clone(system);
        let watch = Watch::begin(move || told.set.send_modify(|times| *times += 1));
        watch
            .inspect_err(|error| {
                tracing::warn!(error = %error, "a clock that is set is noticed late: the kernel does not tell of it");
            })
            .ok()
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

    #[tokio::test]
    async fn setting_the_time_of_day_wakes_those_who_wait_for_one() {
        let clock = Clock::manual(Timestamp::from_micros(1_000));
        let due = Timestamp::from_micros(2_000);
        let waiting = clock.sleep_by(By::Wall, due);
        tokio::pin!(waiting);
        let soon = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(soon, &mut waiting).await.is_err());
        clock.set(due);
        let woken = tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await;
        assert!(woken.is_ok() && clock.now() < due);
        clock.set(Timestamp::from_micros(1));
        assert_eq!(clock.now(), Timestamp::from_micros(1_000));
    }

    #[tokio::test]
    async fn the_systems_steady_clock_begins_at_the_time_of_day_and_goes_on() {
        let clock = Clock::default();
        let (before, wall) = (clock.now(), clock.wall());
        assert!(wall.since(before).max(before.since(wall)) < Duration::from_secs(1));
        let due = before.after(Duration::from_millis(20));
        clock.sleep_until(due).await;
        assert!(clock.now() >= due);
    }
}
