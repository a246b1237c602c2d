//! A PTY's terminal: the side on which the agent types and reads, and how long nothing has happened on it.

#![expect(
    unsafe_code,
    reason = "a descriptor is watched by its number, and only here is known that it stays open"
)]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use helmr_guest_wire::Terminal as Wanted;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcgetwinsize, tcsetwinsize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, sleep};

use crate::user::Identity;
use crate::watcher::Watcher;

/// How often a terminal on which nothing happens is looked at, while something is in its foreground.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a program sees another size before it sees its own again: one that is told of the same size draws nothing.
const NUDGE: Duration = Duration::from_millis(50);

/// The ends of a terminal that are its process's.
pub(crate) struct Ends {
    pub(crate) slave: File,
    pub(crate) watched: StdUnixStream,
}

pub(crate) struct Terminal {
    master: AsyncFd<OwnedFd>,
    /// Tells who is in the foreground, for as long as the shell lives.
    watcher: RefCell<Option<Watcher>>,
    leader: Cell<i32>,
    rest: Rest,
    /// Of the resizes, the last one done.
    resized: Cell<u64>,
}

/// How long nothing was typed or printed.
struct Rest {
    after: Duration,
    last: Cell<Instant>,
    looked: Cell<Option<Instant>>,
    idle: Cell<bool>,
}

impl Terminal {
    /// Makes a terminal of the size that is wanted, which belongs to `user`.
    ///
    /// # Errors
    /// If the machine has none left.
    pub(crate) fn open(wanted: Wanted, user: Option<&Identity>) -> io::Result<(Self, Ends)> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = open(name.as_c_str(), flags, Mode::empty())?;
        if let Some(user) = user {
            let (owner, group) = (Uid::from_raw(user.user_id), Gid::from_raw(user.group_id));
            fchown(&slave, Some(owner), Some(group))?;
        }
        fchmod(&slave, Mode::RUSR | Mode::WUSR | Mode::WGRP)?;
        tcsetwinsize(&slave, size(wanted.cols, wanted.rows))?;
        let status = rustix::fs::fcntl_getfl(&master)?;
        rustix::fs::fcntl_setfl(&master, status | OFlags::NONBLOCK)?;
        // SAFETY: the descriptor is owned by what watches it, and so stays open for as long.
        let master = unsafe { AsyncFd::register(master) }?;
        let (watcher, watched) = Watcher::pair()?;
        let ends = Ends {
            slave: File::from(slave),
            watched,
        };
        let terminal = Self {
            master,
            watcher: RefCell::new(Some(watcher)),
            leader: Cell::new(0),
            rest: Rest {
                after: Duration::from_millis(wanted.idle_after_ms),
                last: Cell::new(Instant::now()),
                looked: Cell::new(None),
                idle: Cell::new(false),
            },
            resized: Cell::new(0),
        };
        Ok((terminal, ends))
    }

    /// Notes who leads its session.
    pub(crate) fn led_by(&self, leader: i32) {
        self.leader.set(leader);
    }

    /// The leader has ended: what it left may close the terminal now.
    pub(crate) fn release(&self) {
        drop(self.watcher.take());
    }

    /// The next bytes; 0 at the end. Cancel-safe.
    pub(crate) async fn read(&self, buffer: &mut [u8]) -> usize {
        let read = self.master.async_io(Interest::READABLE, |master| {
            uninterrupted(|| rustix::io::read(master, &mut *buffer))
        });
        // When nobody has the other side any more, Linux says EIO.
        read.await.unwrap_or(0)
    }

    /// The bytes that are there now.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> usize {
        uninterrupted(|| rustix::io::read(self.master.get_ref(), &mut *buffer)).unwrap_or(0)
    }

    /// Types some of `from` and takes it off. Cancel-safe.
    pub(crate) async fn write(&self, from: &mut BytesMut) -> io::Result<usize> {
        let written = self.master.async_io(Interest::WRITABLE, |master| {
            uninterrupted(|| rustix::io::write(master, from))
        });
        let written = written.await?;
        from.advance(written);
        Ok(written)
    }

    /// Sets its size, unless resize `number` was done before. Of the size that it has programs are told by way of
    /// another one.
    pub(crate) fn resize(self: &Rc<Self>, cols: u32, rows: u32, number: u64) {
        if number <= self.resized.replace(number.max(self.resized.get())) {
            return;
        }
        let wanted = size(cols, rows);
        let has = tcgetwinsize(self.master.get_ref());
        if !has.is_ok_and(|has| (has.ws_col, has.ws_row) == (wanted.ws_col, wanted.ws_row)) {
            self.set_size(wanted);
            return;
        }
        let other = if wanted.ws_row > 1 {
            rows - 1
        } else {
            rows + 1
        };
        self.set_size(size(cols, other));
        let terminal = Rc::clone(self);
        tokio::task::spawn_local(async move {
            sleep(NUDGE).await;
            if terminal.resized.get() == number {
                terminal.set_size(wanted);
            }
        });
    }

    fn set_size(&self, size: Winsize) {
        // It fails only for what is no terminal.
        let _no_terminal = tcsetwinsize(self.master.get_ref(), size);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.rest.idle.get()
    }

    /// Notes that something was typed or printed. Whether it was idle until then.
    pub(crate) fn stirs(&self) -> bool {
        self.rest.last.set(Instant::now());
        self.rest.looked.set(None);
        self.rest.idle.replace(false)
    }

    /// When to look whether it is idle; never while it is.
    pub(crate) fn look_at(&self) -> Option<Instant> {
        if self.rest.idle.get() {
            return None;
        }
        let quiet = self.rest.last.get() + self.rest.after;
        let every = LOOK_EVERY.min(self.rest.after).max(NUDGE);
        let again = self.rest.looked.get().map(|looked| looked + every);
        Some(again.map_or(quiet, |again| again.max(quiet)))
    }

    /// Looks whether it has become idle.
    pub(crate) async fn comes_to_rest(&self) -> bool {
        let now = Instant::now();
        self.rest.looked.set(Some(now));
        if now < self.rest.last.get() + self.rest.after {
            return false;
        }
        // Taken, so that nothing is borrowed while this waits; who is gone meanwhile is not put back.
        let Some(mut watcher) = self.watcher.take() else {
            return false;
        };
        let foreground = watcher.foreground().await;
        self.watcher.replace(Some(watcher));
        let idle = foreground == Some(self.leader.get());
        self.rest.idle.set(idle);
        idle
    }
}

fn size(cols: u32, rows: u32) -> Winsize {
    Winsize {
        ws_col: u16::try_from(cols).unwrap_or(u16::MAX),
        ws_row: u16::try_from(rows).unwrap_or(u16::MAX),
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// Tries again what a checkpoint or a signal has interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}
