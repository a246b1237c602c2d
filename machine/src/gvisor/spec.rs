//! `config.json` of a machine (OCI runtime-spec 1.1, with gVisor's annotations for the root image).

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::{Error, Spec};

/// What the agent and its processes may do: the usual set of a container. CAP_SYS_RESOURCE and CAP_SYS_ADMIN stay out:
/// root with either is not bound by `RLIMIT_NPROC`. CAP_SYS_PTRACE lets the agent tell whose process an orphan is.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
];

const GUEST_PROGRAM: &str = "/run/helmr/guest/helmr-guest";
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
pub(super) const CPU_PERIOD_US: u64 = 100_000;
/// What a machine has while it comes up, until it is confined: then a sandbox of one processor, whose runtime has threads
/// for more, does not stand still for most of its first 100 ms. gVisor counts no fewer processors for anyone.
const COMING_UP_MILLIS: u32 = 2_000;
/// Programs that close every descriptor they may have open walk up to the soft limit.
const OPEN_FILES: (u64, u64) = (1 << 16, 1 << 20);

/// Writes an attempt's bundle: its directory with `config.json` in it. `cgroup` is where its limits are kept.
pub(super) fn write_bundle(spec: &Spec, cgroup: &str) -> Result<(), Error> {
    // It becomes part of a flag whose parts are told apart by these.
    let path = &spec.overlay_dir;
    if path
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b":,".contains(byte))
    {
        let reason = format!("the path {} holds a colon or a comma", path.display());
        return Err(Error::Incapable { reason });
    }
    fs::create_dir_all(&spec.attempt_dir).map_err(Error::io("create", &spec.attempt_dir))?;
    let config = config(spec, cgroup);
    let text = serde_json::to_vec_pretty(&config).map_err(Error::Spec)?;
    let path = spec.attempt_dir.join("config.json");
    fs::write(&path, text).map_err(Error::io("write", &path))
}

/// Where changes to the root go: an unnamed file, so that they cost disk and not memory. Where that is full, a write fails
/// with ENOSPC and a store through a mapping with SIGBUS, as on any other disk.
pub(super) fn overlay(spec: &Spec) -> String {
    format!("dir={}", spec.overlay_dir.display())
}

fn config(spec: &Spec, cgroup: &str) -> Value {
    let namespaces = ["pid", "mount", "ipc", "uts", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.1.0",
        "process": process(spec),
        // Of no meaning: the root image is given by annotation.
        "root": { "path": spec.attempt_dir.join("root"), "readonly": false },
        "hostname": spec.host_name,
        "mounts": mounts(spec),
        "annotations": {
            "dev.gvisor.spec.rootfs.source": spec.root_image,
            "dev.gvisor.spec.rootfs.type": "erofs",
            "dev.gvisor.spec.rootfs.overlay": overlay(spec),
        },
        "linux": {
            "cgroupsPath": cgroup,
            "resources": resources(spec),
            "namespaces": namespaces,
        },
    })
}

fn process(spec: &Spec) -> Value {
    let mut env = Vec::new();
    if !spec.env.iter().any(|(name, _)| name == "PATH") {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    env.extend(
        spec.env
            .iter()
            .map(|(name, value)| format!("{name}={value}")),
    );
    let processes = process_limit(spec);
    json!({
        "terminal": false,
        "user": { "uid": 0, "gid": 0 },
        "args": [GUEST_PROGRAM],
        "env": env,
        "cwd": "/",
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
        "rlimits": [
            { "type": "RLIMIT_NPROC", "soft": processes, "hard": processes },
            { "type": "RLIMIT_NOFILE", "soft": OPEN_FILES.0, "hard": OPEN_FILES.1 },
        ],
        "noNewPrivileges": false,
    })
}

/// The processor time of each period that a share comes to.
pub(super) fn cpu_quota_us(millis: u32) -> u64 {
    u64::from(millis.max(10)) * CPU_PERIOD_US / 1000
}

/// How many processes may be inside: what was asked for, as far as the memory reaches. A process costs the runtime about
/// 0.6 MiB of the machine's own memory, whatever it does, and a machine that runs out of it there dies as a whole.
fn process_limit(spec: &Spec) -> u64 {
    const RUNTIME_AND_ONE_NODE: u64 = 128 << 20;
    const EACH: u64 = 768 << 10;
    const AT_LEAST: u64 = 32;
    let room = spec
        .limits
        .memory_bytes
        .saturating_sub(RUNTIME_AND_ONE_NODE)
        / EACH;
    u64::from(spec.limits.processes).min(room.max(AT_LEAST))
}

fn mounts(spec: &Spec) -> Value {
    // What is in a tmpfs counts as memory, but as no process's: over the limit the machine itself would die of it.
    let shared_memory = format!("size={}", spec.limits.memory_bytes / 4);
    json!([
        { "destination": "/proc", "type": "proc", "source": "proc" },
        tmpfs("/dev", &["mode=755", "size=1m"]),
        { "destination": "/dev/pts", "type": "devpts", "source": "devpts" },
        tmpfs("/dev/shm", &["mode=1777", &shared_memory]),
        { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
        // gVisor lays a tmpfs without limit over an empty /tmp. With this in it, it is not empty.
        tmpfs("/tmp/.X11-unix", &["mode=1777", "size=1m"]),
        bind("/run/helmr/host", &spec.host_dir, "ro"),
        bind("/run/helmr/bundles", &spec.bundles_dir, "ro"),
        bind("/run/helmr/guest", &spec.guest_dir, "ro"),
        bind(&spec.mount_path, &spec.workspace_dir, "rw"),
    ])
}

fn tmpfs(destination: &str, options: &[&str]) -> Value {
    json!({ "destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options })
}

fn bind(destination: &str, source: &Path, access: &str) -> Value {
    json!({ "destination": destination, "type": "bind", "source": source, "options": ["rbind", access] })
}

fn resources(spec: &Spec) -> Value {
    let limits = &spec.limits;
    json!({
        "cpu": {
            "period": CPU_PERIOD_US,
            "quota": cpu_quota_us(limits.cpu_millis.max(COMING_UP_MILLIS)),
        },
        "memory": { "limit": limits.memory_bytes },
        // A backstop only: it counts the sandbox's own host tasks, about two for each process, and a machine that meets
        // it dies.
        "pids": { "limit": process_limit(spec) * 3 + 200 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn spec() -> Spec {
        let at = |name: &str| Path::new("/machines").join(name);
        Spec {
            root_image: at("image.erofs"),
            guest_dir: at("guest"),
            bundles_dir: at("bundles"),
            host_dir: at("host"),
            attempt_dir: at("attempt"),
            workspace_dir: at("tree"),
            overlay_dir: at("overlay"),
            mount_path: "/workspace".to_owned(),
            host_name: "sandbox".to_owned(),
            env: vec![("LANG".to_owned(), "C.UTF-8".to_owned())],
            limits: Limits {
                cpu_millis: 1500,
                memory_bytes: 1 << 30,
                processes: 512,
            },
        }
    }

    #[test]
    fn limits_are_those_asked_for() {
        let config = config(&spec(), "/helmr/mat_x-3");
        assert_eq!(config["linux"]["cgroupsPath"], "/helmr/mat_x-3");
        assert_eq!(config["linux"]["resources"]["cpu"]["quota"], 200_000);
        assert_eq!(cpu_quota_us(1500), 150_000);
        assert_eq!(config["linux"]["resources"]["memory"]["limit"], 1 << 30);
        assert_eq!(config["linux"]["resources"]["pids"]["limit"], 1736);
        assert_eq!(config["process"]["rlimits"][0]["hard"], 512);
    }

    #[test]
    fn a_small_machine_has_fewer_processes() {
        let limit = |mebibytes: u64| {
            let mut spec = spec();
            spec.limits = Limits {
                memory_bytes: mebibytes << 20,
                processes: 1024,
                ..spec.limits
            };
            process_limit(&spec)
        };
        assert_eq!(
            [64, 256, 512, 1024, 4096].map(limit),
            [32, 170, 512, 1024, 1024]
        );
    }

    #[test]
    fn nothing_can_lift_the_process_limit() {
        for set in ["bounding", "effective", "permitted"] {
            let set = process(&spec())["capabilities"][set].to_string();
            assert!(
                !set.contains("SYS_RESOURCE") && !set.contains("SYS_ADMIN"),
                "{set}"
            );
        }
    }

    #[test]
    fn an_image_without_a_path_gets_the_usual_one() {
        let env = process(&spec())["env"].to_string();
        assert!(
            env.contains(DEFAULT_PATH) && env.contains("LANG=C.UTF-8"),
            "{env}"
        );
        let with_path = Spec {
            env: vec![("PATH".to_owned(), "/opt".to_owned())],
            ..spec()
        };
        assert_eq!(process(&with_path)["env"], json!(["PATH=/opt"]));
    }
}
