//! What is left of a machine on the host: processes, files, control groups.
//!
//! A killed client leaves more than `runsc delete` removes, and a machine that was killed while a client was making it
//! may come up a moment later. So everything is looked for by name, and looked for again.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::cgroup::Cgroups;
use super::process::{all_of, hold};
use crate::{Attempt, Error};

/// Between two looks for processes: a fork that the first missed has a command line by the second.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// Where `runsc` puts its control socket: the root, or these if the root's path is too long for a socket.
const SOCKET_DIRS: [&str; 3] = ["/var/run", "/run", "/tmp"];

/// Kills every process of `container` and returns once two looks found none.
pub(super) async fn end_processes(
    root: &Path,
    cgroups: &Cgroups,
    container: &str,
    until: Instant,
) -> Result<(), Error> {
    let mut looked_clean = false;
    loop {
        let pids = processes_of(root, cgroups, container);
        if pids.is_empty() {
            if looked_clean {
                return Ok(());
            }
            looked_clean = true;
            sleep(LOOK_AGAIN_AFTER).await;
            continue;
        }
        looked_clean = false;
        let held: Vec<_> = pids.iter().filter_map(|pid| hold(*pid)).collect();
        held.iter().for_each(super::process::Held::kill);
        for process in held {
            let pid = process.pid;
            if !process.ended(until).await {
                return Err(Error::Unkillable {
                    container: container.to_owned(),
                    pids: vec![pid],
                });
            }
        }
        if Instant::now() >= until {
            return Err(Error::Unkillable {
                container: container.to_owned(),
                pids: pids.into_iter().collect(),
            });
        }
    }
}

fn processes_of(root: &Path, cgroups: &Cgroups, container: &str) -> BTreeSet<i32> {
    let by_name = all_of(root)
        .into_iter()
        .filter(|process| process.container == container);
    let alive_in_group = cgroups
        .processes(container)
        .into_iter()
        .filter(|pid| !is_zombie(*pid));
    by_name
        .map(|process| process.pid)
        .chain(alive_in_group)
        .collect()
}

fn is_zombie(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return true;
    };
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// Removes the files of `container` from the state directory.
pub(super) fn remove_files(root: &Path, container: &str) -> Result<(), Error> {
    let socket = socket_name(container);
    let files =
        ["lock", "state"].map(|kind| root.join(format!("{container}_sandbox:{container}.{kind}")));
    let sockets = SOCKET_DIRS.map(|directory| Path::new(directory).join(&socket));
    for path in files.into_iter().chain([root.join(&socket)]).chain(sockets) {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every attempt that anything is left of.
pub(super) fn list(root: &Path, cgroups: &Cgroups) -> Vec<Attempt> {
    let running = all_of(root).into_iter().map(|process| process.container);
    let filed = fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            named_by_file(&name).map(str::to_owned)
        });
    let names: BTreeSet<String> = running.chain(filed).chain(cgroups.machines()).collect();
    names.iter().filter_map(|name| attempt_of(name)).collect()
}

/// Unmounts what `runsc` mounts in its state directory, so that it can be removed.
pub(super) fn retire_root(root: &Path) -> Result<(), Error> {
    let namespace: PathBuf = root.join("null-netns");
    if !namespace.exists() {
        return Ok(());
    }
    match rustix::mount::unmount(&namespace, rustix::mount::UnmountFlags::DETACH) {
        // Not mounted: a plain file is left.
        Ok(()) | Err(rustix::io::Errno::INVAL) => {}
        Err(error) => return Err(Error::io("unmount", namespace)(error.into())),
    }
    fs::remove_file(&namespace).map_err(Error::io("remove", &namespace))
}

fn socket_name(container: &str) -> String {
    format!("runsc-{container}.sock")
}

fn named_by_file(name: &str) -> Option<&str> {
    let by_socket = name
        .strip_prefix("runsc-")
        .and_then(|rest| rest.strip_suffix(".sock"));
    by_socket.or_else(|| name.split_once("_sandbox:").map(|(container, _)| container))
}

fn attempt_of(container: &str) -> Option<Attempt> {
    let (machine, number) = container.rsplit_once('-')?;
    Some(Attempt {
        machine: machine.to_owned(),
        number: number.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_told_from_the_names_of_what_is_left() {
        assert_eq!(named_by_file("runsc-mat_1-2.sock"), Some("mat_1-2"));
        assert_eq!(
            named_by_file("mat_1-2_sandbox:mat_1-2.state"),
            Some("mat_1-2")
        );
        assert_eq!(named_by_file("null-netns"), None);
        assert_eq!(
            attempt_of("mat_1-2"),
            Some(Attempt {
                machine: "mat_1".to_owned(),
                number: 2
            })
        );
        assert_eq!(attempt_of("probe"), None);
    }
}
