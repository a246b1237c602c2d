//! gVisor machines, from the pinned `runsc`, a root image with Node and the static guest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use helmr_guest_wire::StartRun;
use helmr_machine::gvisor::{Gvisor as Driver, Settings};
use helmr_machine::{Attempt, Driver as _, rootfs};
use tempfile::TempDir;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use super::{DEADLINE, Rig, start_run};

/// Machines want a core each: more tests at once only make each other slow.
static PLACES: Semaphore = Semaphore::const_new(2);
static GUEST: OnceCell<PathBuf> = OnceCell::const_new();
static IMAGE: OnceCell<PathBuf> = OnceCell::const_new();

pub(crate) struct Gvisor {
    driver: Driver,
    directory: TempDir,
    image: PathBuf,
    guest_dir: PathBuf,
    full: PathBuf,
    _place: SemaphorePermit<'static>,
}

impl Gvisor {
    pub(crate) async fn new() -> Self {
        let place = PLACES.acquire().await.unwrap();
        let guest = GUEST.get_or_init(build_guest).await;
        let image = IMAGE.get_or_init(import_image).await.clone();
        let directory = TempDir::new().unwrap();
        let settings = Settings {
            runsc: needed(workspace().join("tools/runsc")),
            root: directory.path().join("runsc"),
            guest_digest: "test".to_owned(),
            cgroup_parent: "/helmr-test".to_owned(),
        };
        let driver = Driver::open(settings).await.unwrap();
        let full = directory.path().join("full");
        Self {
            driver,
            directory,
            image,
            guest_dir: guest.parent().unwrap().to_owned(),
            full,
            _place: place,
        }
    }

    /// The path of the runtime's state.
    pub(crate) fn root(&self) -> PathBuf {
        self.path().join("runsc")
    }
}

impl Rig for Gvisor {
    type Driver = Driver;

    fn driver(&self) -> &Driver {
        &self.driver
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn images(&self) -> (PathBuf, PathBuf) {
        (self.image.clone(), self.guest_dir.clone())
    }

    fn counter(&self) -> StartRun {
        start_run(&["node", "/run/helmr/bundles/counter.mjs"])
    }

    /// A disk of one MiB.
    fn failing_image(&self) -> PathBuf {
        fs::create_dir_all(&self.full).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "full"])
            .arg(&self.full)
            .status();
        assert!(mounted.unwrap().success(), "mount a small disk");
        self.full.join("image")
    }

    fn remains(&self, attempt: &Attempt) -> Vec<String> {
        let name = attempt.container();
        let mut remains = named(&self.root(), &name);
        for hierarchy in fs::read_dir("/sys/fs/cgroup")
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            for owner in fs::read_dir(hierarchy.join("helmr-test"))
                .into_iter()
                .flatten()
            {
                // Other rigs run beside this one, with machines of the same name.
                let owner = owner.unwrap().path();
                let ours = self.driver_cgroup() == owner.file_name().unwrap().to_str().unwrap();
                remains.extend(named(&owner, &name).into_iter().filter(|_| ours));
            }
        }
        remains.extend(
            processes_naming(self.path())
                .into_iter()
                .filter(|line| line.contains(&name)),
        );
        remains
    }

    async fn retire(self) {
        assert_eq!(
            self.driver.list().await.unwrap(),
            [],
            "every machine was killed"
        );
        self.driver.retire().unwrap();
        assert_eq!(
            named(&self.root(), ""),
            Vec::<String>::new(),
            "the state directory is empty"
        );
        assert_eq!(processes_naming(self.path()), Vec::<String>::new());
    }
}

impl Gvisor {
    fn driver_cgroup(&self) -> String {
        use sha2::{Digest as _, Sha256};
        use std::os::unix::ffi::OsStrExt as _;
        let digest = Sha256::digest(self.root().as_os_str().as_bytes());
        digest
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl Drop for Gvisor {
    fn drop(&mut self) {
        // A failed test leaves machines: they are ended with its rig.
        if std::thread::panicking() {
            let driver = &self.driver;
            std::thread::scope(|scope| {
                drop(scope.spawn(|| end_all(driver)).join());
            });
        }
        if self.full.exists() {
            drop(Command::new("umount").arg("-l").arg(&self.full).status());
        }
    }
}

/// Ends every machine of a driver whose own runtime is unwinding.
fn end_all(driver: &Driver) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for attempt in driver.list().await.unwrap() {
            driver.kill(&attempt, DEADLINE).await.unwrap();
        }
    });
    driver.retire().unwrap();
}

/// Names in a directory that contain `part`.
fn named(directory: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().path().display().to_string());
    names
        .filter(|path| path.rsplit('/').next().unwrap().contains(part))
        .collect()
}

/// Command lines, after their process number, that name `path`.
pub(crate) fn processes_naming(path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            Some(format!(
                "{pid} {}",
                String::from_utf8_lossy(&line).replace('\0', " ")
            ))
        })
        .filter(|line| line.contains(&path))
        .collect()
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn needed(path: PathBuf) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing: run script/setup",
        path.display()
    );
    path
}

/// The guest as it ships. Built once for all tests; cargo sees whether anything changed.
async fn build_guest() -> PathBuf {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    let built = tokio::process::Command::new(env!("CARGO"))
        .current_dir(workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args([
            "build",
            "--quiet",
            "--profile",
            "guest",
            "--package",
            "helmr-guest",
            "--target",
            TARGET,
        ])
        .status();
    assert!(
        tokio::time::timeout(DEADLINE * 10, built)
            .await
            .unwrap()
            .unwrap()
            .success(),
        "build the guest"
    );
    needed(
        workspace()
            .join("target")
            .join(TARGET)
            .join("guest/helmr-guest"),
    )
}

/// The base image as a worker imports it. Kept until the image changes.
async fn import_image() -> PathBuf {
    const NAME: &str = "node-24-bookworm-slim";
    let source = needed(workspace().join(format!(".helmr/images/{NAME}.oci.tar")));
    let kept = workspace().join("target/test-images");
    let image = kept.join(format!("{NAME}.erofs"));
    let made = |path: &Path| {
        fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    if made(&image) > made(&source) {
        return image;
    }
    fs::create_dir_all(&kept).unwrap();
    let imported = tokio::task::spawn_blocking(move || {
        let work = TempDir::new_in(&kept).unwrap();
        // Several test programs may do this at once: each brings its own file, and the last one stays.
        let fresh = work.path().join("fresh.erofs");
        rootfs::import(&source, work.path(), &fresh, &rootfs::Limits::default()).unwrap();
        fs::rename(&fresh, &image).unwrap();
        image
    });
    tokio::time::timeout(DEADLINE * 5, imported)
        .await
        .unwrap()
        .unwrap()
}
