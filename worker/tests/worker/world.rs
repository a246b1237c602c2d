//! A worker on scripted machines, with everything it needs, in a temporary directory.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::transport::{Connector, InMemory};
use helmr_api::worker::{Assignment, Capacity, MachineAssignment, Origin, RunAssignment, Want};
use helmr_artifacts::{Artifacts, DataKey, KeySet, blob, tree};
use helmr_domain::{DeploymentId, MaterializationId, RunId, SessionId, Timestamp, WorkspaceId};
use helmr_guest_wire::StartRun;
use helmr_machine::scripted::{Scripted, Step};
use helmr_worker::{Config, Running, Worker};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::control::{Control, DEADLINE};
use crate::scratch::Scratch;

const AT: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) driver: Scripted,
    pub(crate) worker: Option<Running>,
    pub(crate) directory: Scratch,
    /// Whether workspaces lie on disks from the next start of the worker on.
    pub(crate) hard_disk_limit: bool,
    artifacts: Artifacts,
    connector: Connector,
    bundle: (String, String),
    _server: JoinSet<()>,
}

/// A key as the protocol carries it.
pub(crate) fn key_text(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

fn keys(byte: u8) -> Result<KeySet> {
    let key = DataKey::from_bytes(&[byte; 32]).context("a key")?;
    Ok(KeySet::derive(&key))
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

impl World {
    /// A worker that is ready, on machines whose runs do what `script` says.
    pub(crate) async fn new(
        script: impl Fn(&StartRun) -> Vec<Step> + Send + Sync + 'static,
    ) -> Result<Self> {
        let directory = Scratch::new()?;
        let artifacts = Artifacts::open_local(&directory.path().join("artifacts"))?;
        let stored = store(&artifacts, directory.path().to_owned()).await?;
        let control = Control::new(assignment(&stored), Some(stored.seed.clone()));
        let (connector, listener) = InMemory::pair();
        let mut server = JoinSet::new();
        let router = control.router();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut world = Self {
            control,
            driver: Scripted::new(script),
            worker: None,
            directory,
            hard_disk_limit: false,
            artifacts,
            connector,
            bundle: (stored.bundle_sha256, stored.bundle_manifest),
            _server: server,
        };
        world.start().await?;
        Ok(world)
    }

    /// As `new`, with each workspace on a disk of this size.
    pub(crate) async fn on_disks(
        size_bytes: u64,
        script: impl Fn(&StartRun) -> Vec<Step> + Send + Sync + 'static,
    ) -> Result<Self> {
        let mut world = Self::new(script).await?;
        world.control.state().assignment.machine.disk_bytes = size_bytes;
        world.hard_disk_limit = true;
        world.kill_and_restart().await?;
        Ok(world)
    }

    /// A worker with one run, placed.
    pub(crate) async fn with_run(steps: Vec<Step>) -> Result<(Self, RunId)> {
        let world = Self::new(move |_| steps.clone()).await?;
        let run = world.run(1);
        world.control.add_run(run.clone()).await?;
        Ok((world, run.run_id))
    }

    /// Stores a blob as an upload of the installation would be.
    pub(crate) async fn upload(&self, bytes: Vec<u8>) -> Result<String> {
        let stored = self.artifacts.run(move |artifacts| {
            let written = blob::write(artifacts, &keys(1)?, bytes.as_slice())?;
            Ok::<_, Failure>(written.id.to_string())
        });
        stored.await.map_err(|failure| failure.0)
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let config = Config {
            data_dir: self.directory.path().join("worker"),
            name: "test".to_owned(),
            enrolment_token: "enrol".to_owned(),
            capacity: Capacity {
                cpu_millis: 4000,
                memory_mib: 4096,
                disk_mib: 10_240,
                slots: 8,
            },
            labels: Vec::new(),
            guest_dir: self.directory.path().to_owned(),
            hard_disk_limit: self.hard_disk_limit,
            cache_bytes: 1 << 40,
        };
        let worker = Worker::start(
            config,
            self.driver.clone(),
            self.artifacts.clone(),
            self.connector.clone(),
        )
        .await?;
        timeout(DEADLINE, worker.ready()).await??;
        self.worker = Some(worker);
        Ok(())
    }

    /// Ends the worker where it stands and starts another one on the same directory.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.kill().await;
        self.start().await
    }

    pub(crate) async fn kill(&mut self) {
        drop(self.worker.take());
        // What was aborted ends at its next await; the lock tells when the last handle is gone.
        tokio::task::yield_now().await;
    }

    pub(crate) async fn shutdown(&mut self, grace: Duration) -> Result<()> {
        let worker = self.worker.take().context("a worker")?;
        Ok(timeout(DEADLINE, worker.shutdown(grace)).await?)
    }

    pub(crate) fn run(&self, number: u8) -> RunAssignment {
        RunAssignment {
            run_id: RunId::new(AT, [number; 10]),
            session_id: SessionId::new(AT, [number; 10]),
            attempt_number: 1,
            deployment_id: DeploymentId::new(AT, [1; 10]),
            bundle_sha256: self.bundle.0.clone(),
            bundle_manifest: self.bundle.1.clone(),
            started: false,
            hot_window_ms: 0,
            stop: None,
            outcomes: Vec::new(),
            waiting: None,
        }
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join("worker").join(below)
    }

    /// The live tree of the workspace.
    pub(crate) fn tree(&self) -> PathBuf {
        let id = self.control.state().assignment.workspace_id;
        self.path(&format!("workspaces/{id}/tree"))
    }

    /// The directory of the workspace's disk.
    pub(crate) fn disk(&self) -> helmr_machine::disk::Disk {
        let id = self.control.state().assignment.workspace_id;
        helmr_machine::disk::Disk::at(self.path(&format!("workspaces/{id}/disk")))
    }

    /// Everything that is mounted below the world's directory.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let root = self.directory.path().to_str().unwrap_or_default();
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
        points
            .filter(|point| point.starts_with(root))
            .map(str::to_owned)
            .collect()
    }

    /// The next start has a machine of its own.
    pub(crate) fn next_machine(&self, number: u8) {
        self.control.state().assignment.machine.materialization_id =
            MaterializationId::new(AT, [number; 10]);
    }

    pub(crate) fn machine_dir(&self) -> PathBuf {
        let id = self.control.state().assignment.machine.materialization_id;
        self.path(&format!("machines/{id}"))
    }

    /// How many memory images lie on the worker.
    pub(crate) fn images(&self) -> usize {
        std::fs::read_dir(self.machine_dir().join("checkpoints")).map_or(0, |found| {
            found
                .flatten()
                .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
                .count()
        })
    }

    /// Waits until something about the host holds, which nobody tells of.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let polled = timeout(DEADLINE, async {
            while !holds(self) {
                sleep(Duration::from_millis(2)).await;
            }
        });
        let state = format!("machines {:?}", self.driver.attempts());
        polled
            .await
            .with_context(|| format!("not in time: {what}; {state}"))
    }

    pub(crate) async fn until_no_machine(&self) -> Result<()> {
        self.until("no machine exists", |world| {
            world.driver.attempts().is_empty()
        })
        .await
    }
}

struct Stored {
    image_digest: String,
    image_manifest: String,
    bundle_sha256: String,
    bundle_manifest: String,
    seed: String,
}

async fn store(artifacts: &Artifacts, scratch: PathBuf) -> Result<Stored> {
    let archive = bundle().await?;
    artifacts
        .run(move |artifacts| {
            let image = b"not really an image".to_vec();
            let seeded = scratch.join("seed");
            std::fs::create_dir(&seeded)?;
            std::fs::write(seeded.join("README"), "from the image\n")?;
            let (installation, environment) = (keys(1)?, keys(2)?);
            let root = tree::open_root(&seeded)?;
            Ok::<_, Failure>(Stored {
                image_digest: format!("sha256:{}", sha256(&image)),
                image_manifest: blob::write(artifacts, &installation, image.as_slice())?
                    .id
                    .to_string(),
                bundle_sha256: sha256(&archive),
                bundle_manifest: blob::write(artifacts, &environment, archive.as_slice())?
                    .id
                    .to_string(),
                seed: tree::capture(artifacts, &environment, &root, None)?
                    .id
                    .to_string(),
            })
        })
        .await
        .map_err(|failure| failure.0)
}

struct Failure(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

async fn bundle() -> Result<Vec<u8>> {
    let mut archive = tokio_tar::Builder::new(Vec::new());
    for (path, text) in [
        ("runtime.mjs", "export {}\n"),
        ("tasks/a.mjs", "export {}\n"),
    ] {
        let mut header = tokio_tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        archive
            .append_data(&mut header, path, text.as_bytes())
            .await?;
    }
    Ok(archive.into_inner().await?)
}

fn assignment(stored: &Stored) -> Assignment {
    Assignment {
        workspace_id: WorkspaceId::new(AT, [1; 10]),
        revision: 0,
        epoch: 0,
        machine: MachineAssignment {
            materialization_id: MaterializationId::new(AT, [1; 10]),
            driver: "scripted".to_owned(),
            image_digest: stored.image_digest.clone(),
            image_manifest: stored.image_manifest.clone(),
            mount_path: "/workspace".to_owned(),
            cpu_millis: 1000,
            memory_bytes: 1 << 30,
            disk_bytes: 10 << 30,
            processes: 1024,
            env: Vec::new(),
            user: String::new(),
            origin: Origin::Seed,
            names: std::collections::BTreeMap::new(),
        },
        runs: Vec::new(),
        execs: Vec::new(),
        captures: Vec::new(),
        forks: Vec::new(),
        data_key: key_text(2),
        auto_stop_after_ms: 600_000,
        keep_ms: 0,
        want: Want::Live,
        ending: false,
    }
}

/// Lines that a scripted runtime says.
pub(crate) mod says {
    use helmr_machine::scripted::Step;

    pub(crate) fn started() -> Step {
        Step::Say(r#"{"type":"started"}"#.to_owned())
    }

    pub(crate) fn wait(id: u64, hot_window_ms: u64) -> Step {
        Step::Say(format!(
            r#"{{"type":"call","id":{id},"op":"wait","args":{{"hot_window_ms":{hot_window_ms}}}}}"#
        ))
    }

    pub(crate) fn call(id: u64, op: &str) -> Step {
        Step::Say(format!(
            r#"{{"type":"call","id":{id},"op":"{op}","args":{{"n":{id}}}}}"#
        ))
    }

    pub(crate) fn answered(id: u64) -> Step {
        Step::Await(format!(r#""id":{id},"#))
    }

    /// Ends with the data of the answer that was awaited last.
    pub(crate) fn finished() -> Step {
        Step::Say(r#"{"type":"finished","output":$data}"#.to_owned())
    }
}
