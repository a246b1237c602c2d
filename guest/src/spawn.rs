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
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use helmr_guest_wire::StartRun;
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{Gid, Pid, Uid, setgid, setgroups, setsid, setuid};
use tokio::net::UnixStream;
use tokio::net::unix::pipe::{Receiver, Sender};

use crate::terminal::{Ends, Terminal};
use crate::user::{self, Identity};
use crate::watcher;

/// Which descriptor a process finds its runtime channel at.
const CHANNEL_DESCRIPTOR: RawFd = 3;

/// A started process and the agent's ends of its descriptors.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) stdout: Source,
    /// A terminal has none.
    pub(crate) stderr: Option<Source>,
    pub(crate) feed: Feed,
}

/// Where what a process prints comes from.
pub(crate) enum Source {
    Pipe(Receiver),
    Terminal(Rc<Terminal>),
}

/// Where what the worker says to a process goes.
pub(crate) enum Feed {
    /// The channel to its runtime, both ways.
    Channel(UnixStream),
    /// Its standard input.
    Input(Sender),
    /// Its terminal.
    Terminal(Rc<Terminal>),
}

/// Takes descriptor 3 in the agent for good. Were it free, the standard library could put the pipe there by which a
/// child reports that it could not be executed, and the channel would be laid over it.
pub(crate) fn reserve_channel_descriptor() -> io::Result<File> {
    File::open("/dev/null")
}

/// What a user is given where the image names no shell.
const SHELL: &str = "/bin/sh";
/// What most programs that people look at terminals through understand.
const TERM: &str = "xterm-256color";

/// Starts the process that `start` describes, as the leader of a session of its own, with `marker` in its environment.
///
/// # Errors
/// A sentence for people, which goes to the worker as the run's end.
pub(crate) fn start(start: &StartRun, marker: (&str, &str)) -> Result<Started, String> {
    let identity = if start.user.is_empty() {
        None
    } else {
        Some(user::find(&start.user, Path::new("/etc"))?)
    };
    let made = match start.terminal {
        Some(wanted) => Terminal::open(wanted, identity.as_ref()).map(Some),
        None => Ok(None),
    };
    let (terminal, ends) = made
        .map_err(|error| format!("make the terminal: {error}"))?
        .unzip();
    let terminal = terminal.map(Rc::new);
    let channel = (!start.takes_input && terminal.is_none())
        .then(StdUnixStream::pair)
        .transpose()
        .map_err(|error| format!("make the runtime's channel: {error}"))?;
    let (ours, theirs) = channel.unzip();
    let mut command = command_of(start, identity.as_ref())?;
    match &ends {
        Some(ends) => on_terminal(&mut command, &ends.slave)
            .map_err(|error| format!("hand the terminal over: {error}"))?,
        None if start.takes_input => on_pipes(&mut command, Stdio::piped()),
        None => on_pipes(&mut command, Stdio::null()),
    }
    command
        .envs(start.env.iter().filter_map(|pair| pair.split_once('=')))
        .env(marker.0, marker.1);
    if !start.cwd.is_empty() {
        command.current_dir(&start.cwd);
    }
    prepare_child(&mut command, identity, theirs.map(OwnedFd::from), ends);
    let program = command.get_program().to_owned();
    let child = command
        .spawn()
        .map_err(|error| format!("execute {program:?} in {:?}: {error}", start.cwd))?;
    // The child's ends of channel and terminal live in the command.
    drop(command);
    // The child is reaped with all others, by the reaper.
    take_over(child, ours, terminal)
        .map_err(|error| format!("take over the process's pipes: {error}"))
}

/// The program and its arguments, and what its user brings to its environment.
fn command_of(start: &StartRun, identity: Option<&Identity>) -> Result<Command, String> {
    let own;
    let user = if identity.is_none() && start.terminal.is_some() {
        // The agent's own user has a shell, too.
        own = user::find("0", Path::new("/etc")).ok();
        own.as_ref()
    } else {
        identity
    };
    let shell = user.and_then(|user| user.shell.as_deref()).unwrap_or(SHELL);
    let mut command = match start.argv.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        None if start.terminal.is_some() => {
            let mut command = Command::new(shell);
            let name = shell.rsplit('/').next().unwrap_or(shell);
            // By the dash it knows that it is a login shell.
            command.arg0(format!("-{name}"));
            command
        }
        None => return Err("there is nothing to execute".to_owned()),
    };
    if let Some(home) = user.and_then(|user| user.home.as_ref()) {
        command.env("HOME", home);
    }
    if start.terminal.is_some() {
        command.env("TERM", TERM).env("SHELL", shell);
        if let Some(name) = user.and_then(|user| user.name.as_ref()) {
            command.env("USER", name).env("LOGNAME", name);
        }
    }
    Ok(command)
}

fn on_pipes(command: &mut Command, stdin: Stdio) {
    command
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

fn on_terminal(command: &mut Command, slave: &File) -> io::Result<()> {
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave.try_clone()?);
    Ok(())
}

/// Gives the agent's ends of a started process.
fn take_over(
    mut child: Child,
    channel: Option<StdUnixStream>,
    terminal: Option<Rc<Terminal>>,
) -> io::Result<Started> {
    let number = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pid = Pid::from_raw(number);
    if let Some(terminal) = terminal {
        terminal.led_by(number);
        return Ok(Started {
            pid,
            stdout: Source::Terminal(Rc::clone(&terminal)),
            stderr: None,
            feed: Feed::Terminal(terminal),
        });
    }
    let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let stderr = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let feed = match (channel, child.stdin.take()) {
        (Some(channel), _) => {
            channel.set_nonblocking(true)?;
            Feed::Channel(UnixStream::from_std(channel)?)
        }
        (None, Some(stdin)) => Feed::Input(Sender::from_owned_fd(OwnedFd::from(stdin))?),
        (None, None) => return Err(io::ErrorKind::BrokenPipe.into()),
    };
    Ok(Started {
        pid,
        stdout: Source::Pipe(Receiver::from_owned_fd(OwnedFd::from(stdout))?),
        stderr: Some(Source::Pipe(Receiver::from_owned_fd(OwnedFd::from(
            stderr,
        ))?)),
        feed,
    })
}

fn prepare_child(
    command: &mut Command,
    identity: Option<Identity>,
    channel: Option<OwnedFd>,
    terminal: Option<Ends>,
) {
    let groups: Vec<Gid> = identity
        .iter()
        .flat_map(|identity| &identity.supplementary)
        .map(|id| Gid::from_raw(*id))
        .collect();
    let child_setup = move || {
        setsid()?;
        if let Some(ends) = &terminal {
            rustix::process::ioctl_tiocsctty(&ends.slave)?;
            // SAFETY: this is between fork and exec, the agent has one thread, and the terminal is the controlling one.
            unsafe { watcher::leave_behind(&ends.watched, &ends.slave) }?;
            // What the agent was started without would be missing in every shell: one cannot trap what it finds ignored.
            for key in [
                Signal::SIGINT,
                Signal::SIGQUIT,
                Signal::SIGTSTP,
                Signal::SIGHUP,
            ] {
                // SAFETY: no handler of this process's own is taken away, and it executes another program next.
                unsafe { signal(key, SigHandler::SigDfl) }?;
            }
        }
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
