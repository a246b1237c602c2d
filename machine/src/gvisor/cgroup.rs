//! The control groups that `runsc` makes for a machine: found, read and removed in either version.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::{Error, Stats};

const MOUNT: &str = "/sys/fs/cgroup";
/// What a machine's limits need.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// The groups of one worker's machines.
#[derive(Debug, Clone)]
pub(super) struct Cgroups {
    /// Relative to a hierarchy.
    parent: String,
}

impl Cgroups {
    /// Groups below `parent` (for example `/helmr`) of the worker whose state lies at `root`: several workers may share
    /// a host, and none must take another's machines for its own.
    pub(super) fn new(parent: &str, root: &Path) -> Self {
        let digest = Sha256::digest(root.as_os_str().as_bytes());
        let owner: String = digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            parent: format!("{}/{owner}", parent.trim_matches('/')),
        }
    }

    /// What a specification calls the group of `container`.
    pub(super) fn path_of(&self, container: &str) -> String {
        format!("/{}/{container}", self.parent)
    }

    /// Removes the worker's own level and the one all workers share, if nothing is in them.
    pub(super) fn retire(&self) {
        for hierarchy in hierarchies() {
            for level in Path::new(&self.parent)
                .ancestors()
                .filter(|level| level.parent().is_some())
            {
                // Another worker's machines may be beside it, or ours still in it.
                let _in_use = fs::remove_dir(hierarchy.join(level));
            }
        }
    }

    /// Says whether limits can be set on this host, by this user.
    ///
    /// # Errors
    /// `Incapable`, in words for people.
    pub(super) fn check(&self) -> Result<(), Error> {
        let missing: Vec<&str> = if is_unified() {
            let available =
                fs::read_to_string(Path::new(MOUNT).join("cgroup.controllers")).unwrap_or_default();
            CONTROLLERS
                .into_iter()
                .filter(|wanted| !available.split(' ').any(|name| name.trim() == *wanted))
                .collect()
        } else {
            CONTROLLERS
                .into_iter()
                .filter(|wanted| !Path::new(MOUNT).join(wanted).is_dir())
                .collect()
        };
        if !missing.is_empty() {
            return Err(Error::Incapable {
                reason: format!("no cgroup controllers {}", missing.join(", ")),
            });
        }
        for hierarchy in hierarchies() {
            let parent = hierarchy.join(&self.parent);
            fs::create_dir_all(&parent).map_err(|error| Error::Incapable {
                reason: format!(
                    "limits need a cgroup at {}: {error}; run the worker as root",
                    parent.display()
                ),
            })?;
        }
        Ok(())
    }

    /// Every process in the machine's groups: the sandbox, its helpers and its stubs.
    pub(super) fn processes(&self, container: &str) -> Vec<i32> {
        let mut pids: Vec<i32> = self
            .groups(container)
            .iter()
            .filter_map(|group| fs::read_to_string(group.join("cgroup.procs")).ok())
            .flat_map(|text| {
                text.lines()
                    .filter_map(|line| line.parse().ok())
                    .collect::<Vec<i32>>()
            })
            // A process of another namespace reads as 0, which would mean ourselves.
            .filter(|pid| *pid > 0)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// What the machine's groups count.
    pub(super) fn stats(&self, container: &str) -> io::Result<Stats> {
        let read = |controller: &str, file: &str| {
            fs::read_to_string(self.group(container, controller).join(file))
        };
        if is_unified() {
            let cpu = read("cpu", "cpu.stat")?;
            let usage = cpu
                .lines()
                .find_map(|line| line.strip_prefix("usage_usec "));
            Ok(Stats {
                memory_bytes: number(&read("memory", "memory.current")?)?,
                cpu_us: number(usage.unwrap_or_default())?,
                oom_kills: oom_kills(&read("memory", "memory.events")?)?,
            })
        } else {
            Ok(Stats {
                memory_bytes: number(&read("memory", "memory.usage_in_bytes")?)?,
                cpu_us: number(&read("cpuacct", "cpuacct.usage")?)? / 1000,
                oom_kills: oom_kills(&read("memory", "memory.oom_control")?)?,
            })
        }
    }

    /// Sets the machine's share of the processor.
    pub(super) fn set_cpu(&self, container: &str, quota_us: u64, period_us: u64) -> io::Result<()> {
        let (file, text) = if is_unified() {
            ("cpu.max", format!("{quota_us} {period_us}"))
        } else {
            ("cpu.cfs_quota_us", quota_us.to_string())
        };
        fs::write(self.group(container, "cpu").join(file), text)
    }

    /// The machine's group in the hierarchy of a controller.
    fn group(&self, container: &str, controller: &str) -> PathBuf {
        let mut base = PathBuf::from(MOUNT);
        if !is_unified() {
            base.push(controller);
        }
        base.join(&self.parent).join(container)
    }

    /// Names of all machines that have a group.
    pub(super) fn machines(&self) -> Vec<String> {
        let mut names: Vec<String> = hierarchies()
            .iter()
            .filter_map(|hierarchy| fs::read_dir(hierarchy.join(&self.parent)).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Removes the machine's groups. They stay busy until the last of their processes is reaped.
    pub(super) async fn remove(&self, container: &str, until: Instant) -> Result<(), Error> {
        for group in self.groups(container) {
            loop {
                match remove_tree(&group) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    Err(error)
                        if error.kind() == io::ErrorKind::ResourceBusy
                            && Instant::now() < until =>
                    {
                        sleep(Duration::from_millis(5)).await;
                    }
                    Err(error) => return Err(Error::io("remove", group)(error)),
                }
            }
        }
        Ok(())
    }

    fn groups(&self, container: &str) -> Vec<PathBuf> {
        hierarchies()
            .into_iter()
            .map(|hierarchy| hierarchy.join(&self.parent).join(container))
            .filter(|group| group.is_dir())
            .collect()
    }
}

/// Whether this host has version 2 alone.
fn is_unified() -> bool {
    Path::new(MOUNT).join("cgroup.controllers").exists()
}

/// Where groups of this host may lie.
fn hierarchies() -> Vec<PathBuf> {
    if is_unified() {
        return vec![PathBuf::from(MOUNT)];
    }
    let Ok(entries) = fs::read_dir(MOUNT) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        // Combined controllers have symbolic links beside them, and version 2 may be mounted next to version 1.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| !path.join("cgroup.controllers").exists())
        .collect()
}

fn remove_tree(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Both versions have a line `oom_kill N`, each in a file of its own.
fn oom_kills(text: &str) -> io::Result<u64> {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    number(count.unwrap_or_default())
}

fn number(text: &str) -> io::Result<u64> {
    text.trim()
        .parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
