//! From an assignment to a live machine with fresh memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::fault;
use helmr_api::worker::{Assignment, MachineAssignment, Origin};
use helmr_artifacts::{DataKey, KeySet};
use helmr_domain::{CheckpointId, VersionId};
use helmr_machine::Driver;
use tokio::time::Instant;

use super::Tenure;
use super::ending::{Ending, discard};
use super::machine::{Machine, Way};
use crate::disks::Need;
use crate::housekeeping::capture_beside;
use crate::import::extract_subtree;
use crate::record::{Phase, Record};
use crate::workspace::{self, Workspace};

/// How long a start may take, up to the hello.
const START_WITHIN: Duration = Duration::from_secs(30);
/// A start that failed is tried once more: a runtime that was disturbed says nothing of the machine.
const TRIES: u32 = 2;

impl<D: Driver> Tenure<D> {
    /// Makes the machine live, from whatever its assignment says that it comes from.
    pub(super) async fn bring_up(&mut self) -> Result<Machine, Ending> {
        let assignment = self.first_assignment().await?;
        if assignment.machine.driver != self.base.driver_name {
            let message = format!("this worker has no driver `{}`", assignment.machine.driver);
            return Err(Ending::failed("sandbox_failed", message));
        }
        self.succeed(&assignment).await;
        let need = need(&assignment.machine);
        self.open_workspace(&assignment, need).await?;
        self.prepare_launches(&assignment)?;
        match assignment.machine.origin.clone() {
            Origin::Seed => self.start(&assignment, None).await,
            Origin::Version {
                version_id,
                manifest,
            } => self.start(&assignment, Some((version_id, manifest))).await,
            Origin::Checkpoint {
                checkpoint_id,
                version_id,
                manifest,
            } => {
                self.wake(&assignment, checkpoint_id, (version_id, manifest))
                    .await
            }
        }
    }

    async fn start(
        &mut self,
        assignment: &Assignment,
        version: Option<(VersionId, String)>,
    ) -> Result<Machine, Ending> {
        let begun = Instant::now();
        let root_image = self.prepare(assignment, version).await?;
        let prepared = Instant::now();
        let mut tries = 0;
        loop {
            tries += 1;
            self.record.attempt += 1;
            self.note(Phase::Starting)?;
            let files = self.unsettled_files()?;
            let spec = self.spec(&assignment.machine, root_image.clone(), files)?;
            fault::point("worker.start.before_machine");
            let up = self.attempt_up(Way::Start, spec, START_WITHIN).await;
            match up {
                Ok(mut machine) => {
                    fault::point("worker.start.after_hello");
                    let greeted = Instant::now();
                    self.confirm_while_launching(&mut machine).await?;
                    fault::point("worker.start.after_live");
                    self.confirmed();
                    tracing::info!(
                        workspace.id = %self.record.workspace_id,
                        prepare_ms = millis(prepared - begun),
                        start_ms = millis(greeted - prepared),
                        commit_ms = millis(greeted.elapsed()),
                        "machine live"
                    );
                    return Ok(machine);
                }
                Err(error) if tries < TRIES => {
                    tracing::warn!(workspace.id = %self.record.workspace_id, %error, "a machine did not start; again");
                    self.kill().await;
                    self.remove_attempts();
                }
                Err(error) => return Err(Ending::host("start the machine", &error)),
            }
        }
    }

    /// Has the control plane know that the machine is live; nothing that its runs say is passed on before.
    pub(super) async fn confirm(
        &mut self,
        restored_from: Option<CheckpointId>,
    ) -> Result<(), Ending> {
        self.note(Phase::Live {
            confirmed: false,
            restored_from,
        })?;
        self.reports.live().await?;
        Ok(())
    }

    /// As `confirm`, and asks for the processes of the runs meanwhile, which have their programs to load. The lease is
    /// held until its time is over, whether this report has arrived or not; a refusal ends the machine with them.
    async fn confirm_while_launching(&mut self, machine: &mut Machine) -> Result<(), Ending> {
        self.note(Phase::Live {
            confirmed: false,
            restored_from: None,
        })?;
        let reports = self.reports.clone();
        let told = reports.live();
        tokio::pin!(told);
        loop {
            tokio::select! {
                told = &mut told => return Ok(told?),
                launched = self.launches.next() => self.launched(machine, launched).await?,
            }
        }
    }

    /// Notes that the control plane knows, and drops the image that the machine came from.
    pub(super) fn confirmed(&mut self) {
        self.mark(Phase::Live {
            confirmed: true,
            restored_from: None,
        });
        self.remove_images_but(None);
    }

    /// Fetches image and files, side by side where one does not need the other.
    async fn prepare(
        &mut self,
        assignment: &Assignment,
        version: Option<(VersionId, String)>,
    ) -> Result<PathBuf, Ending> {
        // A machine that was lost here may have left more than the version has.
        let id = self.record.workspace_id;
        let client = Arc::clone(&self.base.client);
        capture_beside(&client, id, self.workspace()?).await;
        if let Some((version_id, manifest)) = version {
            let base = Arc::clone(&self.base);
            let (image, files) = tokio::join!(
                root_image(&base, &assignment.machine),
                self.put_back(&manifest, Some(version_id))
            );
            files?;
            return image;
        }
        let base = Arc::clone(&self.base);
        let machine = &assignment.machine;
        let reports = self.reports.clone();
        let (image, seed) = tokio::join!(
            root_image(&base, machine),
            reports.find_seed(&machine.image_digest, &machine.mount_path)
        );
        let image = image?;
        match seed? {
            Some(manifest) => self.put_back(&manifest, None).await?,
            None => self.make_seed(machine, &image).await?,
        }
        Ok(image)
    }

    /// Copies what the image holds at the mount path, and keeps that for the next workspace.
    async fn make_seed(
        &mut self,
        machine: &MachineAssignment,
        image: &std::path::Path,
    ) -> Result<(), Ending> {
        let base = Arc::clone(&self.base);
        let workspace = self.workspace()?;
        workspace.clear().await.map_err(files)?;
        extract_subtree(&base, image, &machine.mount_path, &workspace.tree())
            .await
            .map_err(|error| Ending::host("copy the image's workspace", &error))?;
        let (manifest, size_bytes) = workspace.capture_seed().await.map_err(files)?;
        let kept = self
            .reports
            .put_seed(
                &machine.image_digest,
                &machine.mount_path,
                manifest,
                size_bytes,
            )
            .await?;
        // Someone may have been first with a copy that differs in times; everyone starts from the same.
        self.put_back(&kept, None).await
    }

    pub(super) async fn root_image(&self, machine: &MachineAssignment) -> Result<PathBuf, Ending> {
        root_image(&self.base, machine).await
    }

    pub(super) async fn put_back(
        &mut self,
        manifest: &str,
        version_id: Option<VersionId>,
    ) -> Result<(), Ending> {
        let workspace = self.workspace()?;
        workspace
            .put_back(manifest, version_id)
            .await
            .map_err(files)
    }

    /// The tree, on which something may run from now on, and where its disk has room for what is written elsewhere.
    pub(super) fn unsettled_files(&mut self) -> Result<(PathBuf, Option<PathBuf>), Ending> {
        let workspace = self.workspace()?;
        workspace.unsettle().map_err(files)?;
        Ok((workspace.tree(), workspace.overlay()))
    }

    pub(super) fn workspace(&mut self) -> Result<&mut Workspace, Ending> {
        self.workspace
            .as_mut()
            .ok_or_else(|| Ending::failed("sandbox_failed", "the workspace is not open".to_owned()))
    }

    /// Opens the workspace's files, with the keys that come with an assignment.
    pub(super) async fn open_workspace(
        &mut self,
        assignment: &Assignment,
        need: Need,
    ) -> Result<(), Ending> {
        if self.workspace.is_some() {
            return Ok(());
        }
        let id = self.record.workspace_id;
        let keys = data_keys(assignment)?;
        let disks = Arc::clone(&self.base.disks);
        let place = tokio::task::spawn_blocking(move || disks.place(id, need))
            .await
            .map_err(|error| Ending::host("find the workspace's disk", &error))?
            .map_err(|error| Ending::host("find the workspace's disk", &error))?;
        let directory = self.base.directory.workspace(id);
        let artifacts = self.base.artifacts.clone();
        self.workspace = Some(Workspace::open(directory, place, artifacts, keys));
        Ok(())
    }

    fn prepare_launches(&mut self, assignment: &Arc<Assignment>) -> Result<(), Ending> {
        let keys = data_keys(assignment)?;
        for run in &assignment.runs {
            if run.stop.is_none() && !run.started {
                self.prepare_launch(assignment, run, keys.clone())?;
            }
        }
        Ok(())
    }

    /// Clears away another machine of the same workspace that lies here: this one has taken its place.
    async fn succeed(&mut self, assignment: &Assignment) {
        let directory = self.base.directory.workspace(self.record.workspace_id);
        let note = directory.path.join("machine");
        let current = assignment.machine.materialization_id;
        let before = std::fs::read_to_string(&note)
            .ok()
            .and_then(|text| text.parse().ok());
        if let Some(before) = before.filter(|before| *before != current) {
            let left = self.base.directory.machine(before);
            if let Ok(Some(record)) = Record::read(&left) {
                let attempt = helmr_machine::Attempt {
                    machine: before.to_string(),
                    number: record.attempt,
                };
                if let Err(error) = self
                    .base
                    .driver
                    .kill(&attempt, super::ending::KILL_WITHIN)
                    .await
                {
                    tracing::warn!(machine = attempt.container(), %error, "a machine of the past could not be killed");
                }
            }
            discard(&left.path);
        }
        let written = std::fs::create_dir_all(&directory.path)
            .and_then(|()| std::fs::write(&note, current.to_string()));
        if let Err(error) = written {
            tracing::warn!(%error, "a workspace's machine was not noted");
        }
    }
}

fn need(machine: &MachineAssignment) -> Need {
    let disk_bytes = machine.disk_bytes;
    match machine.origin {
        Origin::Seed | Origin::Version { .. } => Need::Start { disk_bytes },
        Origin::Checkpoint { .. } => Need::Wake { disk_bytes },
    }
}

pub(super) fn data_keys(assignment: &Assignment) -> Result<KeySet, Ending> {
    keys(&assignment.data_key).ok_or_else(|| {
        Ending::failed(
            "sandbox_failed",
            "the environment's key is not a key".to_owned(),
        )
    })
}

/// The keys that come with an assignment. `None` if they are none.
pub(crate) fn keys(data_key: &str) -> Option<KeySet> {
    let bytes = STANDARD.decode(data_key).ok()?;
    Some(KeySet::derive(&DataKey::from_bytes(&bytes)?))
}

async fn root_image<D: Driver>(
    base: &crate::base::Base<D>,
    machine: &MachineAssignment,
) -> Result<PathBuf, Ending> {
    let keys = base.installation_keys().ok_or(Ending::Lost)?;
    base.images
        .ensure(
            &base.directory,
            &base.artifacts,
            keys,
            &machine.image_digest,
            &machine.image_manifest,
        )
        .await
        .map_err(|error| Ending::failed("image_failed", crate::serve::describe(&error)))
}

/// For people and for the wire: more than half a billion years do not happen.
pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn files(error: workspace::Error) -> Ending {
    let kind = if error.is_disk_full() {
        "disk_full"
    } else {
        "sandbox_failed"
    };
    Ending::failed(kind, crate::serve::describe(&error))
}
