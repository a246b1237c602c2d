//! The driver's verbs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use super::cgroup::Cgroups;
use super::command::{Bundle, Runsc};
use super::process::{Role, all_of};
use super::{image, remains, spec};
use crate::{Attempt, Capabilities, Driver, Error, Limits, Presence, RuntimeIdentity, Spec, Stats};

/// Between the steps of an operation that has a deadline of its own.
const SHORT: Duration = Duration::from_secs(10);

/// What the driver needs to know of its host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The pinned `runsc`.
    pub runsc: PathBuf,
    /// The runtime's state: a directory of this worker alone, absolute.
    pub root: PathBuf,
    /// Digest of the guest agent, part of what a checkpoint depends on.
    pub guest_digest: String,
    /// Control group below which each machine gets its own, for example `/helmr`.
    pub cgroup_parent: String,
}

/// The gVisor driver.
#[derive(Debug)]
pub struct Gvisor {
    runsc: Runsc,
    cgroups: Cgroups,
    identity: RuntimeIdentity,
}

impl Gvisor {
    /// Looks at the host and the runtime.
    ///
    /// # Errors
    /// `Incapable` with what is missing, in words for people.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        if !rustix::process::geteuid().is_root() {
            return Err(Error::Incapable {
                reason: "gVisor machines need root for their control groups".to_owned(),
            });
        }
        let cgroups = Cgroups::new(&settings.cgroup_parent, &settings.root);
        cgroups.check()?;
        fs::create_dir_all(&settings.root).map_err(Error::io("create", &settings.root))?;
        let runsc = Runsc::new(settings.runsc, settings.root);
        let version = runsc.version(SHORT).await?;
        let identity = RuntimeIdentity(format!("gvisor/{version}/{}", settings.guest_digest));
        Ok(Self {
            runsc,
            cgroups,
            identity,
        })
    }

    async fn launch(
        &self,
        operation: &'static str,
        arguments: &[&OsStr],
        (attempt, spec): (&Attempt, &Spec),
        deadline: Duration,
    ) -> Result<(), Error> {
        let container = attempt.container();
        spec::write_bundle(spec, &self.cgroups.path_of(&container))?;
        let overlay = spec::overlay(spec);
        let bundle = Bundle {
            container: &container,
            directory: &spec.attempt_dir,
            overlay: &overlay,
        };
        self.runsc
            .launch(operation, arguments, bundle, deadline)
            .await
    }

    fn sandbox_pid(&self, container: &str) -> Option<i32> {
        let mut processes = all_of(self.runsc.root()).into_iter();
        let sandbox = processes
            .find(|process| process.container == container && process.role == Role::Sandbox);
        sandbox.map(|process| process.pid)
    }
}

impl Driver for Gvisor {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            memory_checkpoint: true,
            hardware_isolation: false,
            network_policy: false,
            hard_disk_limit: true,
        }
    }

    fn identity(&self) -> RuntimeIdentity {
        self.identity.clone()
    }

    async fn start(&self, attempt: &Attempt, spec: &Spec, deadline: Duration) -> Result<(), Error> {
        self.launch("run", &[], (attempt, spec), deadline).await
    }

    async fn pause(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        self.runsc
            .call("pause", &[], &attempt.container(), deadline)
            .await
            .map(drop)
    }

    async fn resume(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        self.runsc
            .call("resume", &[], &attempt.container(), deadline)
            .await
            .map(drop)
    }

    async fn checkpoint(
        &self,
        attempt: &Attempt,
        image_dir: &Path,
        deadline: Duration,
    ) -> Result<u64, Error> {
        let until = Instant::now() + deadline;
        image::discard(image_dir).await;
        let flags = [
            "-leave-running",
            "-compression=none",
            "-exclude-committed-zero-pages",
            "-direct",
            "-image-path",
        ];
        let mut arguments: Vec<&OsStr> = flags.iter().map(OsStr::new).collect();
        arguments.push(image_dir.as_os_str());
        let written = self
            .runsc
            .call("checkpoint", &arguments, &attempt.container(), deadline)
            .await;
        let durable = match written {
            Ok(_) => image::make_durable(image_dir.to_owned()).await,
            Err(error) => Err(error),
        };
        if durable.is_err() {
            image::discard(image_dir).await;
        }
        if Instant::now() > until && durable.is_ok() {
            tracing::warn!(
                container = attempt.container(),
                "a checkpoint became durable after its deadline"
            );
        }
        durable
    }

    async fn restore(
        &self,
        attempt: &Attempt,
        spec: &Spec,
        image_dir: &Path,
        deadline: Duration,
    ) -> Result<(), Error> {
        let arguments = [
            OsStr::new("-direct"),
            OsStr::new("-image-path"),
            image_dir.as_os_str(),
        ];
        self.launch("restore", &arguments, (attempt, spec), deadline)
            .await
    }

    async fn kill(&self, attempt: &Attempt, deadline: Duration) -> Result<(), Error> {
        let container = attempt.container();
        let until = Instant::now() + deadline;
        let root = self.runsc.root();
        remains::end_processes(root, &self.cgroups, &container, until).await?;
        // `runsc delete` would do the same with a process of its own, longer than all the rest takes, and leave some.
        remains::remove_files(root, &container)?;
        self.cgroups.remove(&container, until).await
    }

    async fn presence(&self, attempt: &Attempt) -> Result<Presence, Error> {
        /// `runsc state`, the part that matters.
        #[derive(Deserialize)]
        struct State {
            status: String,
        }
        let container = attempt.container();
        // The state file outlives the process, and says "running" of a zombie too.
        if self.sandbox_pid(&container).is_none() {
            return Ok(Presence::Gone);
        }
        match self.runsc.call("state", &[], &container, SHORT).await {
            Ok(text) => {
                let paused = serde_json::from_slice(&text)
                    .is_ok_and(|state: State| state.status == "paused");
                Ok(if paused {
                    Presence::Paused
                } else {
                    Presence::Running
                })
            }
            Err(_) if self.sandbox_pid(&container).is_none() => Ok(Presence::Gone),
            // Being made just now: it has processes but no state yet.
            Err(Error::Refused { .. }) => Ok(Presence::Running),
            Err(error) => Err(error),
        }
    }

    async fn confine(&self, attempt: &Attempt, limits: &Limits) -> Result<(), Error> {
        let container = attempt.container();
        let quota_us = spec::cpu_quota_us(limits.cpu_millis);
        self.cgroups
            .set_cpu(&container, quota_us, spec::CPU_PERIOD_US)
            .map_err(|error| of_group(error, "confine", container))
    }

    async fn stats(&self, attempt: &Attempt) -> Result<Stats, Error> {
        let container = attempt.container();
        self.cgroups
            .stats(&container)
            .map_err(|error| of_group(error, "stats", container))
    }

    fn retire(&self) -> Result<(), Error> {
        remains::retire_root(self.runsc.root())?;
        self.cgroups.retire();
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Attempt>, Error> {
        Ok(remains::list(self.runsc.root(), &self.cgroups))
    }
}

/// A failure on the control group of a machine: without a group there is no machine.
fn of_group(error: std::io::Error, operation: &'static str, container: String) -> Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => Error::Gone {
            operation,
            container,
        },
        _ => Error::io("use the control group of", container)(error),
    }
}
