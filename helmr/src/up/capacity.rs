//! What this machine gives to sandboxes.

use std::path::Path;

use helmr_api::worker::Capacity;

use crate::filesystem;

/// Memory that the host and the server itself keep.
const KEPT_MIB: u64 = 512;

/// Machines at a time. Memory ends first on most hosts.
const SLOTS: u32 = 256;

/// Looks at the host: all its processors, memory but for a reserve, and what the disk has free.
pub(crate) fn of_host(data: &Path) -> Capacity {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory_mib = memory_mib().unwrap_or(1024);
    let kept = KEPT_MIB.min(memory_mib / 4);
    let disk = filesystem::of(data).map_or(0, |found| found.free_bytes);
    Capacity {
        cpu_millis: u64::try_from(cpus).unwrap_or(1).saturating_mul(1_000),
        memory_mib: memory_mib - kept,
        disk_mib: disk >> 20,
        slots: SLOTS,
    }
}

/// What the files of workspaces in which nothing runs may take: a fifth of the disk.
pub(crate) fn cache_bytes(data: &Path) -> u64 {
    filesystem::of(data).map_or(0, |found| found.total_bytes / 5)
}

/// All memory of the host, in MiB.
pub(crate) fn memory_mib() -> Option<u64> {
    from_meminfo("MemTotal:").map(|kib| kib >> 10)
}

/// Memory that could be had now, in MiB.
pub(crate) fn available_mib() -> Option<u64> {
    from_meminfo("MemAvailable:").map(|kib| kib >> 10)
}

fn from_meminfo(name: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_something_to_give() {
        let capacity = of_host(Path::new("/"));
        assert!(
            capacity.cpu_millis >= 1_000 && capacity.memory_mib > 0 && capacity.slots > 0,
            "{capacity:?}"
        );
        assert!(available_mib() <= memory_mib());
    }
}
