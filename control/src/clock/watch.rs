//! Noticing that the wall's clock was set, or that the machine was suspended.
//!
//! Linux ends a read of a timer on the real-time clock with `ECANCELED` when that clock is set, if the timer asks for it
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`). It also does when the machine wakes from a suspend.

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch::Sender;

/// A time that does not come: the year 2446, the last one that all filesystems know.
const NEVER: i64 = 15_032_385_535;

/// Counts in `set` each time that the clock was set. Ends never.
pub(super) async fn run(set: &Sender<u64>) {
    if let Err(error) = watch(set).await {
        tracing::warn!(error = %error, "a clock that is set is noticed late: the kernel does not tell of it");
    }
    std::future::pending().await
}

async fn watch(set: &Sender<u64>) -> std::io::Result<()> {
    let timer = AsyncFd::register(arm()?)?;
    loop {
        let mut ready = timer.readable().await?;
        let mut fired = [0; 8];
        match rustix::io::read(timer.get_ref(), &mut fired) {
            Err(Errno::CANCELED) => {
                tracing::info!("the clock was set, or the machine was suspended");
                set.send_modify(|times| *times += 1);
                // A cancelled timer tells of one set only.
                aim(timer.get_ref())?;
            }
            Err(Errno::AGAIN) => ready.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            // It went off: the clock was set to a time after it.
            Ok(_) => aim(timer.get_ref())?,
        }
    }
}

fn arm() -> std::io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
    aim(&timer)?;
    Ok(timer)
}

fn aim(timer: &OwnedFd) -> std::io::Result<()> {
    let never = Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec {
            tv_sec: NEVER,
            tv_nsec: 0,
        },
    };
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(timer, flags, &never)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clock_that_nobody_sets_tells_nothing() -> std::io::Result<()> {
        let timer = AsyncFd::register(arm()?)?;
        let soon = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, timer.readable()).await.is_err());
        let mut fired = [0; 8];
        let read = rustix::io::read(timer.get_ref(), &mut fired);
        assert_eq!(read, Err(Errno::AGAIN));
        Ok(())
    }
}
