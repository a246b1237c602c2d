//! Makes EROFS files with `mkfs.erofs`.
//!
//! Uncompressed and without inline data, as the sandbox executes from nothing else; without times and with a fixed
//! UUID, so that the same files give the same bytes.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Error;
use super::digest::{Digest, Hashing};

const TOOL: &str = "mkfs.erofs";
const INSTALL: &str = "apt install erofs-utils";
const UUID: &str = "48656c6d-7200-4000-8000-65726f667331";
/// What is kept of the tool's words.
const WORDS_BYTES: u64 = 4096;

pub(super) struct Made {
    pub(super) digest: Digest,
    pub(super) size_bytes: u64,
}

/// Fails early if the tool is not there.
pub(super) fn check_installed() -> Result<(), Error> {
    let started = Command::new(TOOL)
        .arg("-V")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    started.map(drop).map_err(not_started)
}

/// Packs `root` into `out`.
pub(super) fn make(root: &Path, out: &Path, deadline: Duration) -> Result<Made, Error> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Partial(PathBuf::from(partial));
    // `mkfs.erofs` does not shorten a file that was there.
    match fs::remove_file(&partial.0) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &partial.0)(error));
        }
        _ => {}
    }
    let mut command = Command::new(TOOL);
    command
        .args(["--quiet", "-E", "noinline_data", "-T0", "-U", UUID])
        .arg(&partial.0)
        .arg(root);
    run(&mut command, &partial.0, deadline)?;

    let file = File::open(&partial.0).map_err(Error::io("open", &partial.0))?;
    let (digest, size_bytes, file) = Hashing::new(file)
        .finish()
        .map_err(Error::io("read", &partial.0))?;
    file.sync_all().map_err(Error::io("sync", &partial.0))?;
    fs::rename(&partial.0, out).map_err(Error::io("rename", out))?;
    let parent = out
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(Error::io("sync directory", parent))?;
    Ok(Made { digest, size_bytes })
}

/// The output until it is whole.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already if it became the real one.
        drop(fs::remove_file(&self.0));
    }
}

fn run(command: &mut Command, beside: &Path, deadline: Duration) -> Result<(), Error> {
    // The tool's words go to a file and not to a pipe, which it could fill.
    let mut words = unnamed_file(beside)?;
    let err = words.try_clone().map_err(Error::io("open", beside))?;
    let out = words.try_clone().map_err(Error::io("open", beside))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(not_started)?;
    let Some(status) = wait(child, deadline)? else {
        return Err(Error::DeadlinePassed {
            tool: TOOL,
            deadline,
        });
    };
    if status.success() {
        return Ok(());
    }
    let mut text = Vec::new();
    words
        .rewind()
        .and_then(|()| words.take(WORDS_BYTES).read_to_end(&mut text))
        .map_err(Error::io("read", beside))?;
    Err(Error::Tool {
        tool: TOOL,
        status: status.to_string(),
        output: String::from_utf8_lossy(&text).trim().to_owned(),
    })
}

/// Waits for `child`, killing it at the deadline; then `None`.
fn wait(mut child: Child, deadline: Duration) -> Result<Option<std::process::ExitStatus>, Error> {
    let ended = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
        .and_then(|pidfd| {
            let deadline = Timespec::try_from(deadline).unwrap_or(Timespec {
                tv_sec: 3600,
                tv_nsec: 0,
            });
            poll(
                &mut [PollFd::new(&pidfd.as_fd(), PollFlags::IN)],
                Some(&deadline),
            )
        });
    if !matches!(ended, Ok(1..)) {
        // Either too late or not to be waited for: it goes in both cases.
        child.kill().map_err(Error::io("kill", TOOL))?;
        child.wait().map_err(Error::io("wait for", TOOL))?;
        return ended.map(|_| None).map_err(Error::os("wait for", TOOL));
    }
    child.wait().map(Some).map_err(Error::io("wait for", TOOL))
}

fn unnamed_file(beside: &Path) -> Result<File, Error> {
    let mut path = beside.as_os_str().to_owned();
    path.push(".log");
    let path = PathBuf::from(path);
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(Error::io("make", &path))?;
    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(file)
}

fn not_started(error: std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::NotFound {
        return Error::MissingTool {
            tool: TOOL,
            install: INSTALL,
        };
    }
    Error::io("start", TOOL)(error)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_tool_that_hangs_is_killed_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        let failed = run(
            command.arg("600"),
            &dir.path().join("out"),
            Duration::from_millis(50),
        );
        assert!(
            matches!(failed, Err(Error::DeadlinePassed { .. })),
            "{failed:?}"
        );
    }

    #[test]
    fn a_tool_that_fails_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        let failed = run(
            command.args(["-c", "echo no room >&2; exit 3"]),
            &dir.path().join("out"),
            Duration::from_secs(60),
        );
        let Err(Error::Tool { status, output, .. }) = failed else {
            panic!("{failed:?}")
        };
        assert!(status.contains('3'), "{status}");
        assert_eq!(output, "no room");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_tool_comes_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("no-such-tool-anywhere");
        let failed = run(
            &mut command,
            &dir.path().join("out"),
            Duration::from_secs(1),
        )
        .unwrap_err();
        assert_eq!(failed.code(), "erofs_utils_missing");
        assert!(
            failed.to_string().contains("apt install erofs-utils"),
            "{failed}"
        );
    }
}
