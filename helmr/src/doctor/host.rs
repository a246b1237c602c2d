//! The host itself: kernel, rights, namespaces, control groups, memory, disk.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use helmr_cli::{env, size};
use tokio::process::Command;

use super::report::Check;
use crate::filesystem::{self, Kind};
use crate::up::available_mib;

/// The oldest kernel that gVisor's systrap platform and overlay mounts are known to work on.
const OLDEST_KERNEL: (u32, u32) = (5, 4);
const GIB: u64 = 1 << 30;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn kernel() -> Check {
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let machine = system.machine().to_string_lossy();
    let detail = format!("Linux {release} on {machine}");
    if machine != "x86_64" {
        return Check::failed(
            "kernel",
            detail,
            "use an x86-64 machine: others are not supported yet",
        );
    }
    match version(&release) {
        Some(version) if version >= OLDEST_KERNEL => Check::ok("kernel", detail),
        _ => Check::failed("kernel", detail, "use a kernel of version 5.4 or newer"),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn privileges() -> Check {
    if rustix::process::geteuid().is_root() {
        Check::ok("privileges", "root")
    } else {
        let uid = rustix::process::geteuid().as_raw();
        Check::failed(
            "privileges",
            format!("user {uid}"),
            "run `helmr up` as root: sandboxes and their limits need it",
        )
    }
}

/// Makes each kind of namespace that a machine has, as a machine would.
pub(super) async fn namespaces() -> Check {
    const NAME: &str = "namespaces";
    let missing: Vec<&str> = ["user", "pid", "net", "mnt", "ipc", "uts"]
        .into_iter()
        .filter(|kind| !Path::new("/proc/self/ns").join(kind).exists())
        .collect();
    if !missing.is_empty() {
        let detail = format!("the kernel has no {} namespaces", missing.join(", "));
        return Check::failed(NAME, detail, "use a kernel with all namespaces built in");
    }
    let Some(unshare) = env::find_program("unshare") else {
        return Check::warning(
            NAME,
            "the kernel has them; not tried",
            "install util-linux, so that they can be tried",
        );
    };
    let tried = Command::new(unshare)
        .args([
            "--user",
            "--map-root-user",
            "--pid",
            "--fork",
            "--net",
            "--mount",
            "--ipc",
            "--uts",
            "true",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(PATIENCE, tried).await {
        Ok(Ok(output)) if output.status.success() => {
            Check::ok(NAME, "user, pid, net, mount, ipc and uts work")
        }
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Check::failed(
                NAME,
                format!("cannot be made: {}", said.trim()),
                "allow them: sysctl user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns; in a container, run it privileged",
            )
        }
        Ok(Err(error)) => Check::warning(NAME, format!("not tried: {error}"), "install util-linux"),
        Err(_) => Check::failed(
            NAME,
            "making them takes longer than 10 s",
            "look at the host's load",
        ),
    }
}

/// Makes a group where machines get theirs.
pub(super) fn cgroups() -> Check {
    const NAME: &str = "cgroups";
    const MOUNT: &str = "/sys/fs/cgroup";
    let unified = Path::new(MOUNT).join("cgroup.controllers");
    let (version, places) = if let Ok(controllers) = fs::read_to_string(&unified) {
        let missing: Vec<&str> = ["cpu", "memory", "pids"]
            .into_iter()
            .filter(|wanted| !controllers.split_whitespace().any(|name| name == *wanted))
            .collect();
        if !missing.is_empty() {
            let detail = format!("version 2, without {}", missing.join(", "));
            return Check::failed(
                NAME,
                detail,
                "enable the controllers, in a container by delegation (systemd: Delegate=yes)",
            );
        }
        ("version 2", vec![MOUNT.to_owned()])
    } else {
        let places: Vec<String> = ["cpu", "memory", "pids"]
            .map(|name| format!("{MOUNT}/{name}"))
            .into();
        if let Some(missing) = places.iter().find(|place| !Path::new(place).is_dir()) {
            return Check::failed(
                NAME,
                format!("{missing} is not mounted"),
                "mount the control groups, version 2 or 1",
            );
        }
        ("version 1", places)
    };
    for place in places {
        let group = Path::new(&place).join(format!("helmr-doctor-{}", std::process::id()));
        let made = fs::create_dir(&group).and_then(|()| fs::remove_dir(&group));
        if let Err(error) = made {
            return Check::failed(
                NAME,
                format!("{version}, and {place} cannot be written: {error}"),
                "run as root; in a container, mount the control groups writable",
            );
        }
    }
    Check::ok(NAME, format!("{version}, with cpu, memory and pids"))
}

pub(super) fn memory() -> Check {
    const NAME: &str = "memory";
    match available_mib() {
        Some(mib) if mib < 512 => Check::failed(
            NAME,
            format!("{mib} MiB available"),
            "a machine needs 1 GiB unless its sandbox says less: free some, or use a larger host",
        ),
        Some(mib) if mib < 2048 => Check::warning(
            NAME,
            format!("{mib} MiB available"),
            "room for one machine or two: free some, or use a larger host",
        ),
        Some(mib) => Check::ok(NAME, format!("{} available", size(mib << 20))),
        None => Check::warning(NAME, "/proc/meminfo says nothing", "mount /proc"),
    }
}

pub(super) fn disk(data_dir: &Path) -> Check {
    const NAME: &str = "disk";
    let found = match filesystem::of(data_dir) {
        Ok(found) => found,
        Err(error) => {
            return Check::failed(
                NAME,
                format!("{}: {error}", data_dir.display()),
                "name another directory with --data-dir",
            );
        }
    };
    let detail = format!(
        "{} free at {} for {}",
        size(found.free_bytes),
        found.at.display(),
        data_dir.display()
    );
    match found.kind {
        Kind::Network(kind) => Check::failed(
            NAME,
            format!("{} lies on {kind}", data_dir.display()),
            "name a directory on a local disk with --data-dir: a database needs its locks and its durability",
        ),
        Kind::Memory => Check::warning(
            NAME,
            format!("{detail}, in memory"),
            "name a directory on a disk with --data-dir: this one is gone at the next boot",
        ),
        Kind::Local if found.free_bytes < 2 * GIB => Check::failed(
            NAME,
            detail,
            "free at least 2 GiB: images, files and memory of machines are kept there",
        ),
        Kind::Local if found.free_bytes < 10 * GIB => Check::warning(
            NAME,
            detail,
            "free some: images, files and memory of machines are kept there",
        ),
        Kind::Local => Check::ok(NAME, detail),
    }
}

/// Makes a disk of a workspace's kind where workspaces are kept.
pub(super) async fn limits(data_dir: &Path) -> Check {
    const NAME: &str = "disk limits";
    const MEND: &str = "as root, with loop devices (in a container, give it /dev/loop-control and run it privileged), a kernel of 5.8 or newer with ext4, and e2fsprogs; or start with --allow-soft-limits";
    let at = match filesystem::of(data_dir) {
        Ok(found) => found.at,
        Err(error) => return Check::warning(NAME, format!("not tried: {error}"), MEND),
    };
    match tokio::task::spawn_blocking(move || helmr_machine::disk::probe(&at)).await {
        Ok(Ok(())) => Check::ok(
            NAME,
            "a workspace cannot outgrow its disk (ext4 on a loop device)",
        ),
        Ok(Err(error)) => {
            let mut detail = format!("no disk of a fixed size can be had: {error}");
            if let Some(source) = std::error::Error::source(&error) {
                detail = format!("{detail}: {source}");
            }
            Check::failed(NAME, detail, MEND)
        }
        Err(error) => Check::warning(NAME, format!("not tried: {error}"), MEND),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_releases_are_compared_by_number() {
        assert_eq!(version("6.18.3-amd64"), Some((6, 18)));
        assert_eq!(version("5.4.0"), Some((5, 4)));
        assert_eq!(version("next"), None);
        assert!((5, 15) > OLDEST_KERNEL && (4, 19) < OLDEST_KERNEL && (6, 1) > OLDEST_KERNEL);
    }
}
