//! Noticing that the wall's clock was set, or that the machine was suspended.
//!
//! Linux ends a read of a timer on the real-time clock with `ECANCELED` when that clock is set, if the timer asks for it
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`). It also does when the machine wakes from a suspend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// A time that does not come: the year 2446, the last one that all filesystems know.
const NEVER: i64 = 15_032_385_535;

/// A thread that tells when the clock is set. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Watch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    timer: OwnedFd,
    over: AtomicBool,
}

impl Watch {
    /// Calls `told` each time that the clock was set.
    ///
    /// # Errors
    /// If the kernel has no such timers, or no thread to wait for one.
    pub(super) fn begin(told: impl Fn() + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            timer: timerfd_create(TimerfdClockId::Realtime, TimerfdFlags::CLOEXEC)?,
            over: AtomicBool::new(false),
        });
        aim(&shared.timer)?;
        let watching = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("clock-watch".to_owned())
            .spawn(move || watch(&watching, &told))?;
        Ok(Self(shared))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        // Lets the timer go off at once, which ends the thread's read.
        let soon = timer(0, 1);
        drop(timerfd_settime(
            &self.0.timer,
            TimerfdTimerFlags::empty(),
            &soon,
        ));
    }
}

fn watch(shared: &Shared, told: &impl Fn()) {
    loop {
        let mut fired = [0; 8];
        match rustix::io::read(&shared.timer, &mut fired) {
            Err(Errno::CANCELED) => {
                tracing::info!("the clock was set, or the machine was suspended");
                told();
            }
            Err(Errno::INTR) | Ok(_) => {}
            Err(error) => {
                tracing::warn!(error = %error, "a clock that is set is noticed late from now on");
                return;
            }
        }
        // A timer tells of one set only. Whoever drops the watch does so before this line, and is seen below, or after
        // it, and then lets the timer go off again.
        let aimed = aim(&shared.timer);
        if shared.over.load(Ordering::SeqCst) || aimed.is_err() {
            return;
        }
    }
}

fn aim(descriptor: &OwnedFd) -> std::io::Result<()> {
    let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
    timerfd_settime(descriptor, flags, &timer(NEVER, 0))?;
    Ok(())
}

fn timer(tv_sec: i64, tv_nsec: i64) -> Itimerspec {
    Itimerspec {
        it_interval: Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        },
        it_value: Timespec { tv_sec, tv_nsec },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_is_dropped_ends_its_thread_and_told_nothing() -> std::io::Result<()> {
        let (told, was_told) = std::sync::mpsc::channel();
        let watch = Watch::begin(move || told.send(()).unwrap_or_default())?;
        drop(watch);
        // The thread has the only sender: its end ends the channel.
        let ended = was_told.recv_timeout(std::time::Duration::from_secs(10));
        assert_eq!(ended, Err(std::sync::mpsc::RecvTimeoutError::Disconnected));
        Ok(())
    }
}
