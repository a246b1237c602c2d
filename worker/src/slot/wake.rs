//! From a memory image to the machine as it was parked.

use std::path::Path;
use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::Assignment;
use helmr_domain::{CheckpointId, VersionId};
use helmr_machine::Driver;
use tokio::time::Instant;

use super::Tenure;
use super::ending::Ending;
use super::machine::{Machine, Way};
use super::start::{files, millis};
use crate::clock;
use crate::directive::key_of;
use crate::record::Phase;
use crate::relay::{Ids, resumed};

/// After so many the control plane tries again later.
const TRIES: u32 = 3;

impl<D: Driver> Tenure<D> {
    /// Restores the machine. Whatever fails on the way, its image is kept.
    pub(super) async fn wake(
        &mut self,
        assignment: &Assignment,
        checkpoint_id: CheckpointId,
        files: (VersionId, String),
    ) -> Result<Machine, Ending> {
        let image = self.machine_dir.checkpoint(checkpoint_id);
        self.record.phase = Phase::Parked { checkpoint_id };
        if !image.exists() {
            let message = "this worker does not have the machine's memory image".to_owned();
            return Err(Ending::failed("restore_failed", message));
        }
        let woken = self.try_wake(assignment, checkpoint_id, files).await;
        let machine = woken.map_err(Ending::with_image_kept)?;
        fault::point("worker.wake.after_live");
        self.confirmed();
        Ok(machine)
    }

    async fn try_wake(
        &mut self,
        assignment: &Assignment,
        checkpoint_id: CheckpointId,
        (version_id, manifest): (VersionId, String),
    ) -> Result<Machine, Ending> {
        let begun = Instant::now();
        let image = self.machine_dir.checkpoint(checkpoint_id);
        let root_image = self.root_image(&assignment.machine).await?;
        let (mut manifest, mut version_id) = (manifest, Some(version_id));
        if self.workspace()?.is_edited() {
            // What was written while the machine was parked belongs to the workspace: a repeat begins from there.
            let edited = self.workspace()?.capture().await.map_err(files)?;
            fault::point("worker.wake.after_edits");
            // They are the workspace's whatever becomes of the wake.
            self.reports.version(edited.clone(), Vec::new()).await?;
            self.workspace()?.settle(&edited);
            (manifest, version_id) = (edited.manifest, Some(edited.version_id));
        }
        let size = image_bytes(&image);
        let mut reason = String::new();
        for number in 1..=TRIES {
            // A machine runs before its hello, so a failed try may have changed the files.
            self.put_back(&manifest, version_id).await?;
            self.record.attempt += 1;
            self.note(Phase::Restoring { checkpoint_id })?;
            let on = self.unsettled_files()?;
            let spec = self.spec(&assignment.machine, root_image.clone(), on)?;
            let way = Way::Restore {
                image: image.clone(),
            };
            let prepared = Instant::now();
            fault::point("worker.wake.before_restore");
            let deadline = deadline(size, number);
            match self.attempt_up(way, spec, deadline).await {
                Ok(machine) => {
                    fault::point("worker.wake.after_hello");
                    let greeted = Instant::now();
                    self.record.names = machine.relay.names().clone();
                    self.announce(&machine).await?;
                    self.confirm(Some(checkpoint_id)).await?;
                    tracing::info!(
                        workspace.id = %self.record.workspace_id,
                        prepare_ms = millis(prepared - begun),
                        restore_ms = millis(greeted - prepared),
                        commit_ms = millis(greeted.elapsed()),
                        "machine live again"
                    );
                    return Ok(machine);
                }
                Err(error) => {
                    tracing::warn!(
                        workspace.id = %self.record.workspace_id, attempt = self.record.attempt, %error,
                        "a machine was not restored"
                    );
                    reason = crate::serve::describe(&error);
                    self.kill().await;
                    self.mark(Phase::Parked { checkpoint_id });
                    self.remove_attempts();
                }
            }
        }
        Err(Ending::failed("restore_failed", reason))
    }

    /// Tells every run that it was restored, and who it is, before anything else reaches it.
    pub(super) async fn announce(&mut self, machine: &Machine) -> Result<(), Ending> {
        // Only in a copy of another machine anybody is another than before.
        let assignment = if self.record.names.is_empty() {
            self.assignment()
        } else {
            Some(self.first_assignment().await?)
        };
        for run in machine.relay.alive() {
            let ids = assignment.as_ref().and_then(|assignment| {
                let listed = assignment
                    .runs
                    .iter()
                    .find(|listed| key_of(listed) == *run)?;
                Some(Ids {
                    run: listed.run_id,
                    session: listed.session_id,
                    workspace: assignment.workspace_id,
                })
            });
            let line = resumed(clock::now().as_unix_millis(), clock::random(), ids.as_ref());
            machine
                .relay
                .speech()
                .line(*run, line)
                .await
                .map_err(|error| self.gone("speak to the machine", &error))?;
        }
        Ok(())
    }
}

/// Command and hello together: 5 s and 5 s per GiB, doubled at each repeat.
fn deadline(image_bytes: u64, number: u32) -> Duration {
    let once = 5_000 + (image_bytes >> 10) * 5_000 / (1 << 20);
    Duration::from_millis(once << (number - 1))
}

fn image_bytes(image: &Path) -> u64 {
    let Ok(found) = std::fs::read_dir(image) else {
        return 0;
    };
    found
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_has_time_for_its_size_and_more_at_each_repeat() {
        let gib = 1 << 30;
        for (bytes, number, seconds) in [(0, 1, 5), (gib, 1, 10), (gib, 2, 20), (4 * gib, 3, 100)] {
            assert_eq!(deadline(bytes, number), Duration::from_secs(seconds));
        }
    }
}
