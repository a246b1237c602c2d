//! The one place that reads the host's wall clock: file times are compared with it.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since the epoch, on the clock that the kernel stamps files with.
pub(crate) fn wall_ns() -> i128 {
    let now = clock_gettime(ClockId::Realtime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
