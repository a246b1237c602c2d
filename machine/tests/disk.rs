//! Disks on real loop devices: what is written stays within the limit, and nothing is left on the host.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use helmr_machine::disk::{self, Disk};

const MIB: u64 = 1 << 20;

/// A directory whose disks are gone when the test is, however it ends.
struct Bench {
    directory: tempfile::TempDir,
    disks: Vec<Disk>,
}

impl Bench {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            disks: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn disk(&mut self, name: &str, size_bytes: u64) -> Disk {
        let disk = Disk::at(self.path(name));
        self.disks.push(disk.clone());
        disk.create(size_bytes).unwrap();
        disk.mount().unwrap();
        disk
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for disk in &self.disks {
            let removed = disk.remove();
            assert!(removed.is_ok() || std::thread::panicking(), "{removed:?}");
        }
    }
}

/// The loop device under a mounted disk.
fn device(disk: &Disk) -> String {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let point = disk.directory().join("mnt");
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(1) == point.to_str())
        .unwrap();
    mount.split(' ').next().unwrap().to_owned()
}

fn is_bound(device: &str) -> bool {
    Path::new("/sys/block")
        .join(device.trim_start_matches("/dev/"))
        .join("loop")
        .exists()
}

fn fill(path: &Path) -> (u64, ErrorKind) {
    let mut file = File::create(path).unwrap();
    let block = vec![7; 64 << 10];
    let mut written = 0;
    loop {
        match file.write(&block) {
            Ok(count) => written += count as u64,
            Err(error) => return (written, error.kind()),
        }
    }
}

#[test]
fn a_disk_takes_no_more_than_its_size_and_costs_no_more_than_was_written() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 64 * MIB);
    let other = bench.disk("other", 64 * MIB);
    assert!(
        disk.allocated_bytes() < 2 * MIB,
        "{}",
        disk.allocated_bytes()
    );
    let (written, kind) = fill(&disk.tree().join("file"));
    assert_eq!(kind, ErrorKind::StorageFull);
    assert!((50 * MIB..64 * MIB).contains(&written), "{written}");
    // The overlay is on the same account, another disk is not.
    assert_eq!(
        fill(&disk.overlay().join("file")),
        (0, ErrorKind::StorageFull)
    );
    fs::write(other.tree().join("file"), "room").unwrap();
    disk.unmount().unwrap();
    assert!(disk.allocated_bytes() <= 64 * MIB);
}

#[test]
fn files_run_out_as_bytes_do() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 16 * MIB);
    let mut made = 0;
    let kind = loop {
        match File::create(disk.tree().join(format!("{made}"))) {
            Ok(_) => made += 1,
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(kind, ErrorKind::StorageFull);
    assert!((3_000..=4_096).contains(&made), "{made}");
}

#[test]
fn what_was_removed_is_given_back() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 64 * MIB);
    fill(&disk.tree().join("file"));
    disk.unmount().unwrap();
    disk.mount().unwrap();
    let full = disk.allocated_bytes();
    fs::remove_file(disk.tree().join("file")).unwrap();
    disk.trim().unwrap();
    disk.unmount().unwrap();
    assert!(full > 50 * MIB && disk.allocated_bytes() < 10 * MIB);
}

#[test]
fn a_disk_keeps_its_files_and_their_inodes_over_mounts_and_renames() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 16 * MIB);
    let file = disk.tree().join("file");
    fs::write(&file, "kept").unwrap();
    let inode = fs::metadata(&file).unwrap().ino();
    disk.mount().unwrap();
    // Renamed while it is mounted.
    fs::rename(disk.directory(), bench.path("two")).unwrap();
    let disk = Disk::at(bench.path("two"));
    bench.disks = vec![disk.clone()];
    assert!(disk.is_mounted());
    disk.unmount().unwrap();
    assert!(!disk.is_mounted());
    assert!(!disk.tree().exists());
    disk.unmount().unwrap();
    disk.mount().unwrap();
    let found = fs::metadata(disk.tree().join("file")).unwrap();
    assert_eq!(found.ino(), inode);
    assert_eq!(
        fs::read_to_string(disk.tree().join("file")).unwrap(),
        "kept"
    );
    assert_eq!(disk.size_bytes().unwrap(), Some(16 * MIB));
}

#[test]
fn an_image_that_somebody_still_uses_is_never_given_a_second_device() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 16 * MIB);
    let first = device(&disk);
    // As a machine holds it, and as a worker that was killed leaves it.
    let held = File::create(disk.tree().join("held")).unwrap();
    assert!(disk.unmount().unwrap_err().is_busy());
    let point = disk.directory().join("mnt");
    rustix::mount::unmount(&point, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert!(!disk.is_mounted() && is_bound(&first));
    disk.mount().unwrap();
    assert_eq!(device(&disk), first);
    (&held).write_all(b"seen").unwrap();
    assert_eq!(
        fs::read_to_string(disk.tree().join("held")).unwrap(),
        "seen"
    );
    drop(held);
    disk.unmount().unwrap();
}

#[test]
fn a_removed_disk_leaves_nothing_also_while_it_is_used() {
    let mut bench = Bench::new();
    let disk = bench.disk("one", 16 * MIB);
    let device = device(&disk);
    let held = File::create(disk.tree().join("held")).unwrap();
    disk.remove().unwrap();
    assert!(!disk.directory().exists());
    assert!(is_bound(&device));
    drop(held);
    // Nobody else may hold it: what the last one leaves is cleared by the kernel.
    let mine = |device: &str| {
        let backing = Path::new("/sys/block").join(device.trim_start_matches("/dev/"));
        fs::read_to_string(backing.join("loop/backing_file"))
            .is_ok_and(|path| path.starts_with(bench.directory.path().to_str().unwrap()))
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while mine(&device) {
        assert!(std::time::Instant::now() < end, "{device} is still bound");
        std::thread::yield_now();
    }
}

#[test]
fn a_probe_leaves_nothing() {
    let bench = Bench::new();
    disk::check_installed().unwrap();
    disk::probe(bench.directory.path()).unwrap();
    assert_eq!(fs::read_dir(bench.directory.path()).unwrap().count(), 0);
}
