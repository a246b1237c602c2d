//! Host processes of machines: found by what they were started with, ended and awaited through pidfds.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, timeout_at};

/// A process that has to do with a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostProcess {
    pub(super) pid: i32,
    pub(super) container: String,
    pub(super) role: Role,
}

/// What a process is to its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The machine itself.
    Sandbox,
    /// Its file server, or a client that was started for it.
    Other,
}

/// Every process whose command line names the state directory `root`. A zombie has no command line: it is gone.
pub(super) fn all_of(root: &Path) -> Vec<HostProcess> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| {
            let command_line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let (container, role) = recognise(&command_line, root)?;
            Some(HostProcess {
                pid,
                container,
                role,
            })
        })
        .collect()
}

fn recognise(command_line: &[u8], root: &Path) -> Option<(String, Role)> {
    let arguments: Vec<&[u8]> = command_line
        .strip_suffix(b"\0")?
        .split(|byte| *byte == 0)
        .collect();
    let is_root =
        |argument: &&[u8]| argument.strip_prefix(b"--root=") == Some(root.as_os_str().as_bytes());
    if !arguments.iter().any(is_root) {
        return None;
    }
    let container = String::from_utf8(arguments.last()?.to_vec()).ok()?;
    let role = if arguments.first() == Some(&b"runsc-sandbox".as_slice()) {
        Role::Sandbox
    } else {
        Role::Other
    };
    Some((container, role))
}

/// A process that is held on to, so that its number cannot come to mean another.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) pid: i32,
    descriptor: OwnedFd,
}

/// Takes hold of a process; `None` if it is gone.
pub(super) fn hold(pid: i32) -> Option<Held> {
    let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::NONBLOCK).ok()?;
    Some(Held { pid, descriptor })
}

impl Held {
    /// Kills it. That it is gone already is as good.
    pub(super) fn kill(&self) {
        let _gone = pidfd_send_signal(&self.descriptor, Signal::KILL);
    }

    /// Waits until it has ended; `false` if it has not by then. A zombie has.
    #[expect(
        unsafe_code,
        reason = "tokio has no safe way to wait on a descriptor of our own"
    )]
    pub(super) async fn ended(self, until: Instant) -> bool {
        // SAFETY: an `OwnedFd` names the same open descriptor for as long as it lives, and the `AsyncFd` owns it.
        let registered = unsafe { AsyncFd::register(self.descriptor) };
        // Without a place in the event loop nothing is known, which counts as alive.
        let Ok(descriptor) = registered else {
            return false;
        };
        timeout_at(until, descriptor.readable())
            .await
            .is_ok_and(|ready| ready.is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command_line: &str, expected: Option<(&str, Role)>) {
        let bytes = format!("{command_line} ").replace(' ', "\0");
        let found = recognise(bytes.as_bytes(), Path::new("/d/root"));
        let found = found
            .as_ref()
            .map(|(container, role)| (container.as_str(), *role));
        assert_eq!(found, expected, "{command_line}");
    }

    #[test]
    fn processes_are_recognised_by_root_and_container() {
        check(
            "runsc-sandbox --root=/d/root boot --bundle=b m-1",
            Some(("m-1", Role::Sandbox)),
        );
        check(
            "runsc-gofer --root=/d/root gofer m-1",
            Some(("m-1", Role::Other)),
        );
        check(
            "/x/runsc --root=/d/root restore -detach m-2",
            Some(("m-2", Role::Other)),
        );
        check("runsc-sandbox --root=/d/root2 boot m-1", None);
        check("vi /d/root", None);
        check("", None);
    }
}
