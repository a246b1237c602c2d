//! Reaping: every process whose parent is gone ends up as a child of process 1.

use std::io;
use std::rc::Rc;

use helmr_guest_wire::Exit;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::registry::Registry;

/// Begins to listen for ended children. Has to come before the first is started.
pub(crate) fn listen() -> io::Result<Signal> {
    signal(SignalKind::child())
}

/// Reaps for ever, and tells the registry of what it knows.
pub(crate) async fn reap(mut ended: Signal, registry: Rc<Registry>) {
    loop {
        // Signals coalesce: one stands for any number of children.
        while let Some((pid, exit)) = next_ended() {
            registry.reaped(pid, exit);
        }
        ended.recv().await;
    }
}

fn next_ended() -> Option<(Pid, Exit)> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => {
                return Some((
                    pid,
                    Exit {
                        code: Some(code),
                        ..Exit::default()
                    },
                ));
            }
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                return Some((
                    pid,
                    Exit {
                        signal: Some(number_of(signal)),
                        ..Exit::default()
                    },
                ));
            }
            Err(nix::errno::Errno::EINTR) => {}
            // Nothing else ends a process, and without children there is an error.
            Ok(_) | Err(_) => return None,
        }
    }
}

#[expect(
    clippy::as_conversions,
    reason = "an enum with a stated integer representation has no other conversion"
)]
fn number_of(signal: nix::sys::signal::Signal) -> i32 {
    signal as i32
}
