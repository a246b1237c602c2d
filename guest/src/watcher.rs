//! Who is in the foreground of a terminal: a kernel tells that only to processes of the terminal's own session, gVisor's as
//! Linux's. So one is left behind in each, which is asked.
//!
//! It is forked off the process that is about to become the shell, belongs to the agent, and ends when nobody can ask any
//! more. It is in a group of its own, so that no key reaches it.
#![expect(
    unsafe_code,
    reason = "a process that goes on without executing anything has no safe interface"
)]

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use nix::libc;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, setpgid, tcgetpgrp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// It answers at once, unless everything in the machine stands still.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// The agent's end.
pub(crate) struct Watcher(UnixStream);

impl Watcher {
    /// Gives both ends: the other one is for [`leave_behind`].
    pub(crate) fn pair() -> io::Result<(Self, StdUnixStream)> {
        let (ours, theirs) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        Ok((Self(UnixStream::from_std(ours)?), theirs))
    }

    /// The group in the foreground; `None` if that cannot be told.
    pub(crate) async fn foreground(&mut self) -> Option<i32> {
        // An answer that came too late is not the one to this question.
        let mut late = [0; 64];
        while self.0.try_read(&mut late).is_ok_and(|read| read > 0) {}
        let asked = async {
            self.0.write_all(&[0]).await?;
            self.0.read_i32().await
        };
        let group = timeout(ANSWERS_WITHIN, asked).await.ok()?.ok()?;
        (group > 0).then_some(group)
    }
}

/// Leaves a process behind that answers on `channel` who is in the foreground of `terminal`.
///
/// # Safety
/// Only between fork and exec, in a process of one thread, whose controlling terminal `terminal` is.
///
/// # Errors
/// If there can be no more processes.
pub(crate) unsafe fn leave_behind(
    channel: &StdUnixStream,
    terminal: impl AsFd + Copy,
) -> io::Result<()> {
    // SAFETY: there is one thread, so that both sides may go on as they are.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            waitpid(child, None)?;
            Ok(())
        }
        // Its parent ends at once, so that it is the agent's and not the shell's, which may wait for all of its children.
        // SAFETY: as above.
        ForkResult::Child => match unsafe { fork() } {
            Ok(ForkResult::Child) => watch(channel, terminal),
            Ok(ForkResult::Parent { .. }) => end(0),
            Err(_) => end(1),
        },
    }
}

fn watch(mut channel: &StdUnixStream, terminal: impl AsFd + Copy) -> ! {
    if setpgid(Pid::from_raw(0), Pid::from_raw(0)).is_err() {
        end(1);
    }
    close_others(&[channel.as_raw_fd(), terminal.as_fd().as_raw_fd()]);
    let mut question = [0];
    loop {
        match channel.read(&mut question) {
            Ok(1) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(_) | Err(_) => end(0),
        }
        let group = tcgetpgrp(terminal).map_or(0, Pid::as_raw);
        if channel.write_all(&group.to_be_bytes()).is_err() {
            end(0);
        }
    }
}

/// Closes what is the agent's: it must be able to hang up on its worker.
fn close_others(kept: &[i32]) {
    for descriptor in 0..highest_descriptor() {
        if !kept.contains(&descriptor) {
            // SAFETY: nothing in this process uses a descriptor but those that are kept.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Behind the highest descriptor that is open, as far as that can be told.
fn highest_descriptor() -> i32 {
    const USUAL: i32 = 1024;
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return USUAL;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers.max().map_or(USUAL, |highest| highest + 1)
}

fn end(code: i32) -> ! {
    // SAFETY: ends this process without running what its parent has registered for its own end.
    unsafe { libc::_exit(code) }
}
