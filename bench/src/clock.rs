//! The time, and short pauses between two looks at other processes.

#![expect(
    clippy::disallowed_methods,
    reason = "measuring reads clocks, and other processes send no event"
)]

use std::time::{Duration, SystemTime};

/// What a step leaves to be done, such as the capture at a run's end, is no part of the next one.
pub(crate) const SETTLES_WITHIN: Duration = Duration::from_millis(500);

/// Microseconds since the epoch.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// Long enough to spare the processor, short enough not to show in a figure.
pub(crate) fn look_again() {
    std::thread::sleep(Duration::from_micros(200));
}

/// As long as the benchmark's task works before it waits.
pub(crate) fn work() {
    std::thread::sleep(Duration::from_millis(300));
}

/// Until what a step leaves to be done is over.
pub(crate) fn settle() {
    std::thread::sleep(SETTLES_WITHIN);
}
