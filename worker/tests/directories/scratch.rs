//! A temporary directory that is gone when its test is, though the work of a worker that was just killed ends a little
//! later than the worker.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;

const LOOK_EVERY: Duration = Duration::from_millis(10);
/// So often in a row nothing may have come back.
const LOOKS: u32 = 4;
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct Scratch(Option<TempDir>);

impl Scratch {
    pub(crate) fn new() -> io::Result<Self> {
        tempfile::tempdir().map(|directory| Self(Some(directory)))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.as_ref().unwrap().path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(directory) = self.0.take() else {
            return;
        };
        let path = directory.keep();
        let end = Instant::now() + DEADLINE;
        let mut absent = 0;
        while absent < LOOKS && Instant::now() < end {
            unmount_below(&path);
            match std::fs::remove_dir_all(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => absent += 1,
                Ok(()) | Err(_) => absent = 0,
            }
            std::thread::park_timeout(LOOK_EVERY);
        }
    }
}

/// Also what a test that failed left mounted, or a worker that was killed was about to mount.
fn unmount_below(path: &Path) {
    let mounted = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let targets = mounted.lines().filter_map(|line| line.split(' ').nth(1));
    for target in targets.filter(|target| Path::new(target).starts_with(path)) {
        let detached = rustix::mount::unmount(target, rustix::mount::UnmountFlags::DETACH);
        // Gone already is as good.
        let _detached = detached.is_ok();
    }
}
