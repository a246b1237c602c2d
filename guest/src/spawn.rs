//! Starting a run's process: its session, its user, its descriptors.
#![expect(
    unsafe_code,
    reason = "what happens between fork and exec has no safe interface"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use helmr_guest_wire::StartRun;
use nix::libc;
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setsid, setuid};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::user::{self, Identity};

/// Which descriptor a process finds its runtime channel at.
const CHANNEL_DESCRIPTOR: RawFd = 3;

/// A started process and the agent's ends of its descriptors.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
    pub(crate) feed: Feed,
}

/// Where what the worker says to a process goes.
pub(crate) enum Feed {
    /// The channel to its runtime, both ways.
    Channel(UnixStream),
    /// Its standard input.
    Input(Sender),
}

/// Takes descriptor 3 in the agent for good. Were it free, the standard library could put the pipe there by which a
/// child reports that it could not be executed, and the channel would be laid over it.
pub(crate) fn reserve_channel_descriptor() -> io::Result<File> {
    File::open("/dev/null")
}

/// Starts the process that `start` describes, as the leader of a session of its own, with `marker` in its environment.
///
/// # Errors
/// A sentence for people, which goes to the worker as the run's end.
pub(crate) fn start(start: &StartRun, marker: (&str, &str)) -> Result<Started, String> {
    let (program, arguments) = start
        .argv
        .split_first()
        .ok_or("there is nothing to execute")?;
    let identity = if start.user.is_empty() {
        None
    } else {
        Some(user::find(&start.user, Path::new("/etc"))?)
    };
    let channel = (!start.takes_input)
        .then(StdUnixStream::pair)
        .transpose()
        .map_err(|error| format!("make the runtime's channel: {error}"))?;
    let (ours, theirs) = channel.unzip();
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(if start.takes_input {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(home) = identity
        .as_ref()
        .and_then(|identity| identity.home.as_ref())
    {
        command.env("HOME", home);
    }
    command
        .envs(start.env.iter().filter_map(|pair| pair.split_once('=')))
        .env(marker.0, marker.1);
    if !start.cwd.is_empty() {
        command.current_dir(&start.cwd);
    }
    prepare_child(&mut command, identity, theirs.map(OwnedFd::from));
    let mut child = command
        .spawn()
        .map_err(|error| format!("execute {program:?} in {:?}: {error}", start.cwd))?;
    // The child's end of the channel lives in the command.
    drop(command);
    let opened = || -> io::Result<Started> {
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let feed = match (ours, child.stdin.take()) {
            (Some(ours), _) => {
                ours.set_nonblocking(true)?;
                Feed::Channel(UnixStream::from_std(ours)?)
            }
            (None, Some(stdin)) => Feed::Input(Sender::from_owned_fd(OwnedFd::from(stdin))?),
            (None, None) => return Err(io::ErrorKind::BrokenPipe.into()),
        };
        Ok(Started {
            pid: Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?),
            stdout: Receiver::from_owned_fd(OwnedFd::from(stdout))?,
            stderr: Receiver::from_owned_fd(OwnedFd::from(stderr))?,
            feed,
        })
    };
    // The child is reaped with all others, by the reaper.
    opened().map_err(|error| format!("take over the process's pipes: {error}"))
}

fn prepare_child(command: &mut Command, identity: Option<Identity>, channel: Option<OwnedFd>) {
    let groups: Vec<Gid> = identity
        .iter()
        .flat_map(|identity| &identity.supplementary)
        .map(|id| Gid::from_raw(*id))
        .collect();
    let child_setup = move || {
        setsid()?;
        if let Some(identity) = &identity {
            setgroups(&groups)?;
            setgid(Gid::from_raw(identity.group_id))?;
            setuid(Uid::from_raw(identity.user_id))?;
        }
        channel.as_ref().map_or(Ok(()), place_channel)
    };
    // SAFETY: the closure runs in the child between fork and exec, where only async-signal-safe calls are allowed. The
    // agent has one thread, and the closure makes system calls on values made before the fork; it allocates nothing.
    unsafe {
        command.pre_exec(child_setup);
    }
}

/// Puts the channel where the program looks for it, to stay open over exec.
fn place_channel(channel: &OwnedFd) -> io::Result<()> {
    let descriptor = channel.as_raw_fd();
    let result = if descriptor == CHANNEL_DESCRIPTOR {
        // SAFETY: clears the close-on-exec flag of a descriptor that is open: `channel` owns it.
        unsafe { libc::fcntl(descriptor, libc::F_SETFD, 0) }
    } else {
        // SAFETY: both numbers are descriptors of this process; what was at 3 is the agent's reservation, of which the
        // child has its own copy and no use.
        unsafe { libc::dup2(descriptor, CHANNEL_DESCRIPTOR) }
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
