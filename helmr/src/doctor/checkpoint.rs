//! A real machine, set aside and woken: the whole promise of the product in one line.
//!
//! The machine's root filesystem holds nothing but mount points and its first process is the guest agent, so the check
//! needs no image. Its greeting before and after shows that the very same process went on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use helmr_cli::{CommandError, Style, env, size};
use helmr_machine::gvisor::{Gvisor, Settings};
use helmr_machine::host::Listener;
use helmr_machine::{Attempt, Driver as _, Limits, Spec};
use tokio::time::Instant;

use super::report::Check;
use crate::{guest, runsc, up};

const NAME: &str = "checkpoint";
/// Far above what any step takes on a slow host; a step that hangs ends with it.
const STEP: Duration = Duration::from_secs(30);
/// What a machine's mounts need to be there.
const MOUNT_POINTS: [&str; 8] = [
    "proc",
    "dev",
    "sys",
    "tmp",
    "run/helmr/host",
    "run/helmr/bundles",
    "run/helmr/guest",
    "workspace",
];

pub(super) fn not_tried() -> Check {
    Check::failed(NAME, "not tried without runsc", "mend runsc first")
}

pub(super) async fn check() -> Check {
    match round_trip().await {
        Ok(detail) => Check::ok(NAME, detail),
        Err(error) => {
            let text = error.render(Style::plain());
            let mut lines = text.lines();
            let detail = lines
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            let mend = lines
                .next()
                .map(|hint| hint.trim_start_matches("hint: ").to_owned())
                .unwrap_or_else(|| "mend the failed lines above first; if there are none, the log of HELMR_LOG=debug tells more".to_owned());
            Check::failed(NAME, detail, mend)
        }
    }
}

/// Everything of one check, below one folder that goes with it.
struct Bench {
    folder: tempfile::TempDir,
    guest: guest::Guest,
    driver: Gvisor,
}

async fn round_trip() -> Result<String, CommandError> {
    let bench = Bench::set_up().await?;
    let outcome = bench.park_and_wake().await;
    let cleared = bench.clear().await;
    let detail = outcome?;
    cleared?;
    Ok(detail)
}

impl Bench {
    async fn set_up() -> Result<Self, CommandError> {
        let folder = tempfile::Builder::new()
            .prefix("helmr-doctor-")
            .tempdir()
            .map_err(failed("make a temporary folder"))?;
        let guest = guest::install(&folder.path().join("guest"))?;
        let driver = Gvisor::open(Settings {
            runsc: runsc::find()?,
            root: folder.path().join("runsc"),
            guest_digest: guest.digest.clone(),
            cgroup_parent: up::CGROUP_PARENT.to_owned(),
        })
        .await
        .map_err(failed("open the isolation runtime"))?;
        let bench = Self {
            folder,
            guest,
            driver,
        };
        for name in ["bundles", "workspace", "host-1", "host-2"] {
            fs::create_dir(bench.at(name)).map_err(failed("make a folder"))?;
        }
        bench.make_root().await?;
        Ok(bench)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn make_root(&self) -> Result<(), CommandError> {
        let root = self.at("root");
        for name in MOUNT_POINTS {
            fs::create_dir_all(root.join(name)).map_err(failed("make the root filesystem"))?;
        }
        let program = env::find_program("mkfs.erofs").ok_or_else(|| {
            CommandError::failed("make the root filesystem: mkfs.erofs is not found")
                .hint("install erofs-utils")
        })?;
        let making = tokio::process::Command::new(program)
            .args(["--quiet", "-E", "noinline_data", "-T0"])
            .args([&self.at("root.erofs"), &root])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(STEP, making)
            .await
            .map_err(failed("make the root filesystem"))?
            .map_err(failed("make the root filesystem"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(CommandError::failed(format!(
            "make the root filesystem: {}",
            said.trim()
        )))
    }

    fn attempt(number: u32) -> Attempt {
        Attempt {
            machine: format!("doctor-{}", std::process::id()),
            number,
        }
    }

    fn spec(&self, number: u32) -> Spec {
        Spec {
            root_image: self.at("root.erofs"),
            guest_dir: self.guest.folder.clone(),
            bundles_dir: self.at("bundles"),
            host_dir: self.at(&format!("host-{number}")),
            attempt_dir: self.at(&format!("attempt-{number}")),
            workspace_dir: self.at("workspace"),
            overlay_dir: self.at(&format!("attempt-{number}")),
            mount_path: "/workspace".to_owned(),
            host_name: "doctor".to_owned(),
            env: Vec::new(),
            limits: Limits {
                cpu_millis: 1_000,
                memory_bytes: 512 << 20,
                processes: 64,
            },
        }
    }

    /// Starts, pauses, checkpoints, kills and restores; gives the times.
    async fn park_and_wake(&self) -> Result<String, CommandError> {
        let (first, second) = (Self::attempt(1), Self::attempt(2));
        let image = self.at("image");
        let started = Instant::now();
        let before = self.listen(&first)?;
        self.driver
            .start(&first, &self.spec(1), STEP)
            .await
            .map_err(failed("start a machine"))?;
        let boot = before
            .greeted(STEP)
            .await
            .map_err(failed("start a machine"))?;
        let start = started.elapsed();

        let parking = Instant::now();
        self.driver
            .pause(&first, STEP)
            .await
            .map_err(failed("pause the machine"))?;
        let bytes = self
            .driver
            .checkpoint(&first, &image, STEP)
            .await
            .map_err(failed("checkpoint the machine"))?;
        self.driver
            .kill(&first, STEP)
            .await
            .map_err(failed("end the machine"))?;
        let park = parking.elapsed();
        let boot_id = boot.greeting().boot_id.clone();
        drop((boot, before));

        let waking = Instant::now();
        let after = self.listen(&second)?;
        self.driver
            .restore(&second, &self.spec(2), &image, STEP)
            .await
            .map_err(failed("restore the machine"))?;
        let again = after
            .greeted(STEP)
            .await
            .map_err(failed("restore the machine"))?;
        let wake = waking.elapsed();
        if again.greeting().boot_id != boot_id {
            return Err(CommandError::failed(
                "restore the machine: another process came back",
            ));
        }
        Ok(format!(
            "a process was set aside and went on: start {} ms, checkpoint {} ms ({}), restore {} ms",
            start.as_millis(),
            park.as_millis(),
            size(bytes),
            wake.as_millis()
        ))
    }

    fn listen(&self, attempt: &Attempt) -> Result<Listener, CommandError> {
        let folder = self.at(&format!("host-{}", attempt.number));
        Listener::bind(&folder, attempt, None).map_err(failed("listen for the machine"))
    }

    /// Leaves nothing behind, whatever happened.
    async fn clear(self) -> Result<(), CommandError> {
        for number in [1, 2] {
            self.driver
                .kill(&Self::attempt(number), STEP)
                .await
                .map_err(failed("end the machine"))?;
        }
        self.driver
            .retire()
            .map_err(failed("clear the runtime's state"))?;
        let path: &Path = self.folder.path();
        let shown = path.display().to_string();
        self.folder
            .close()
            .map_err(|error| CommandError::failed(format!("remove {shown}")).because(&error))
    }
}

fn failed<E: std::error::Error>(what: &'static str) -> impl FnOnce(E) -> CommandError {
    move |error| CommandError::failed(what).because(&error)
}
