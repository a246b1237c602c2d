//! What the machines of one data directory have on this host.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sha2::{Digest, Sha256};

/// Looks for, and at the end removes, what machines under one data directory left.
#[derive(Debug)]
pub struct Machines {
    pub(crate) data_dir: PathBuf,
}

impl Machines {
    /// Process ids of the runtime's processes for machines of this directory, the server's own excluded.
    ///
    /// Every runtime process names its `--root`, which lies in the data directory, or its bundle in it.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        let needle = self.data_dir.join("worker").to_string_lossy().into_owned();
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&command).contains(&needle) && !is_zombie(*pid)
            })
            .collect()
    }

    /// Everything that is mounted in this directory.
    #[must_use]
    pub fn mounts(&self) -> Vec<String> {
        mounts_under(&self.data_dir)
    }

    /// Ends every machine of this directory and removes mounts the runtime made in it.
    pub fn clean(&self) {
        let end = Instant::now() + Duration::from_secs(5);
        // A client killed in the middle may still bring a sandbox up a moment later: look until none is left twice.
        let mut quiet = 0;
        while quiet < 2 && Instant::now() < end {
            let processes = self.processes();
            quiet = if processes.is_empty() { quiet + 1 } else { 0 };
            for pid in processes {
                // Gone already is as good.
                let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            pause();
        }
        for mount in mounts_under(&self.data_dir) {
            let _status = Command::new("umount").arg("-l").arg(mount).status();
        }
        // The kernel keeps a group busy for a moment after its last process.
        while !self.remove_cgroups() && Instant::now() < end {
            pause();
        }
    }

    /// Removes what the cgroup tree holds for this directory's worker: a level named after its state directory, with a
    /// group for each machine. Says whether nothing is left.
    fn remove_cgroups(&self) -> bool {
        let root = self.data_dir.join("worker/runsc");
        let digest = Sha256::digest(root.as_os_str().as_bytes());
        let owner: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten();
        let levels: Vec<PathBuf> = controllers
            .flatten()
            .map(|controller| controller.path().join("helmr").join(&owner))
            .filter(|level| level.is_dir())
            .collect();
        for level in &levels {
            for machine in fs::read_dir(level).into_iter().flatten().flatten() {
                let _removed = fs::remove_dir(machine.path());
            }
            let _removed = fs::remove_dir(level);
        }
        levels.iter().all(|level| !level.is_dir())
    }

    /// Cgroups named after materializations of this directory.
    #[must_use]
    pub fn cgroups(&self) -> Vec<PathBuf> {
        let machines: Vec<String> = fs::read_dir(self.data_dir.join("worker/machines"))
            .map(|entries| {
                entries
                    .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                    .collect()
            })
            .unwrap_or_default();
        let mut found = Vec::new();
        let Ok(controllers) = fs::read_dir("/sys/fs/cgroup") else {
            return found;
        };
        for controller in controllers.flatten() {
            collect_named(&controller.path(), &machines, 3, &mut found);
        }
        found
    }
}

/// Between two looks at what another process does; there is no event to await.
#[expect(
    clippy::disallowed_methods,
    reason = "called while dropping, outside any runtime"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(30));
}

fn collect_named(directory: &Path, names: &[String], depth: u32, found: &mut Vec<PathBuf>) {
    if depth == 0 {
        return;
    }
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
    {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if names.iter().any(|known| name.contains(known.as_str())) {
            found.push(entry.path());
        } else if name.contains("helmr") {
            collect_named(&entry.path(), names, depth - 1, found);
        }
    }
}

fn mounts_under(directory: &Path) -> Vec<String> {
    let prefix = directory.to_string_lossy().into_owned();
    fs::read_to_string("/proc/self/mounts")
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|path| path.starts_with(&prefix))
        .map(str::to_owned)
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.trim_start().starts_with('Z'))
    })
}
