//! A copy of a machine that goes on living: its memory and files as they are at one instant, as a parked machine of its own.
//!
//! Pause, capture and checkpoint, commit, resume. The machine stands still until the control plane has copied what it
//! knows of it, so that the copy's memory and what is known of the copy are of the same instant: nothing that one of
//! them has seen is missing in the other, and what was under way is asked for again by each of the two.

use std::path::Path;

use helmr_api::fault;
use helmr_api::worker::{Assignment, ForkOrder, Forked, Timings};
use helmr_machine::Driver;
use tokio::time::Instant;

use super::Tenure;
use super::ending::{Ending, discard};
use super::machine::Machine;
use super::start::millis;
use crate::bundles;
use crate::client::Failure;
use crate::record::{Phase, Record};
use crate::relay::Names;
use crate::workspace;

/// Why there is no copy. The machine goes on either way.
#[derive(Debug, thiserror::Error)]
enum NotCopied {
    #[error("the workspace is not open")]
    Closed,
    #[error(transparent)]
    Driver(#[from] helmr_machine::Error),
    #[error(transparent)]
    Files(#[from] workspace::Error),
    #[error("write the copy's directory: {0}")]
    Directory(#[from] std::io::Error),
}

impl<D: Driver> Tenure<D> {
    /// Makes the copies that the assignment asks for, each once.
    pub(super) async fn make_forks(
        &mut self,
        machine: &mut Machine,
        assignment: &Assignment,
    ) -> Result<(), Ending> {
        for order in &assignment.forks {
            if machine.forks_over.insert(order.materialization_id) {
                self.fork(machine, order).await?;
            }
        }
        Ok(())
    }

    async fn fork(&mut self, machine: &mut Machine, order: &ForkOrder) -> Result<(), Ending> {
        let begun = Instant::now();
        let copy = Record {
            workspace_id: order.workspace_id,
            materialization_id: order.materialization_id,
            epoch: 0,
            attempt: 0,
            phase: Phase::Forked {
                checkpoint_id: order.checkpoint_id,
            },
            names: Names::default(),
        };
        // Whatever ends this half-way, what became of the copy is asked for then.
        self.copying = Some(copy.clone());
        self.take_turn().await;
        let failed = match self.copy(machine, &copy).await {
            Ok(forked) => self.commit_fork(copy, forked).await?,
            Err(reason) => Some(crate::serve::describe(&reason)),
        };
        if failed.is_some() {
            discard(&self.base.directory.machine(order.materialization_id).path);
        }
        self.copying = None;
        let stood = begun.elapsed();
        self.resume(machine)
            .await
            .map_err(|error| self.gone("resume the machine", &error))?;
        self.put_turn_down();
        fault::point("worker.fork.after_resume");
        machine.pace.worked(Instant::now());
        let workspace_id = self.record.workspace_id;
        let Some(reason) = failed else {
            tracing::info!(workspace.id = %workspace_id, fork.id = %order.workspace_id, stood_ms = millis(stood), "machine forked");
            return Ok(());
        };
        tracing::warn!(workspace.id = %workspace_id, reason, "a machine was not forked");
        match self.reports.fork_failed(order.workspace_id, reason).await {
            Err(Failure::Stale) => Err(Ending::Lost),
            Err(refused) => {
                tracing::warn!(%refused, "the failure of a fork was refused");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Takes memory and files of the machine, which stands still from here on.
    async fn copy(&mut self, machine: &mut Machine, copy: &Record) -> Result<Forked, NotCopied> {
        let Phase::Forked { checkpoint_id } = copy.phase else {
            return Err(NotCopied::Closed);
        };
        let target = self.base.directory.machine(copy.materialization_id);
        let begun = Instant::now();
        self.pause(machine).await?;
        let pause = begun.elapsed();
        fault::point("worker.fork.after_pause");
        std::fs::create_dir_all(target.checkpoints())?;
        copy.write(&target)?;
        link_bundles(&self.machine_dir.bundles(), &target.bundles())?;
        let (image, deadline) = (target.checkpoint(checkpoint_id), self.checkpoint_deadline());
        let workspace = self.workspace.as_mut().ok_or(NotCopied::Closed)?;
        // Side by side, as for a park.
        let capture = async {
            let begun = Instant::now();
            let version = workspace.capture().await?;
            fault::point("worker.fork.after_capture");
            Ok::<_, NotCopied>((version, begun.elapsed()))
        };
        let checkpoint = async {
            let begun = Instant::now();
            let driver = &self.base.driver;
            let size = driver
                .checkpoint(&machine.attempt, &image, deadline)
                .await?;
            fault::point("worker.fork.after_checkpoint");
            Ok::<_, NotCopied>((size, begun.elapsed()))
        };
        let record = async {
            let (record, directory) = (copy.clone(), target.clone());
            tokio::task::spawn_blocking(move || record.write_durably(&directory))
                .await
                .map_err(std::io::Error::other)
                .and_then(|written| written)
                .map_err(NotCopied::from)
        };
        let (captured, checkpointed, recorded) = tokio::join!(capture, checkpoint, record);
        let ((version, capture), (checkpoint_size_bytes, checkpoint)) = (captured?, checkpointed?);
        recorded?;
        Ok(Forked {
            workspace_id: copy.workspace_id,
            materialization_id: copy.materialization_id,
            checkpoint_id,
            checkpoint_size_bytes,
            runtime_identity: self.base.driver.identity().0,
            version,
            timings_ms: Timings {
                pause: millis(pause),
                capture: millis(capture),
                checkpoint: millis(checkpoint),
            },
        })
    }

    /// Commits the copy. Gives why it was refused, if it was.
    async fn commit_fork(
        &mut self,
        mut copy: Record,
        forked: Forked,
    ) -> Result<Option<String>, Ending> {
        let version = forked.version.clone();
        let checkpoint_id = forked.checkpoint_id;
        match self.reports.forked(forked).await {
            Ok(()) => {}
            Err(Failure::Stale) => return Err(Ending::Lost),
            Err(refused) => return Ok(Some(refused.to_string())),
        }
        fault::point("worker.fork.after_commit");
        let target = self.base.directory.machine(copy.materialization_id);
        copy.phase = Phase::Parked { checkpoint_id };
        if let Err(error) = copy.write(&target) {
            // The next worker asks what became of it.
            tracing::warn!(%error, "a copy's record was not written");
        }
        let workspace = self.workspace()?;
        workspace.committed(&version);
        workspace.save_index();
        Ok(None)
    }
}

/// Makes the bundles of a machine appear in its copy. One that is being placed is not: whoever needs it places it again.
fn link_bundles(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    let found = match std::fs::read_dir(from) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    for entry in found {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            bundles::link_tree(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bundles_of_the_original_are_the_copys_too() -> anyhow::Result<()> {
        let scratch = tempfile::tempdir()?;
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        link_bundles(&from, &to)?;
        assert!(to.exists(), "a machine without bundles has none to link");
        std::fs::create_dir_all(from.join("ab12/tasks"))?;
        std::fs::create_dir_all(from.join(".half"))?;
        std::fs::write(from.join("ab12/tasks/a.mjs"), "a")?;
        link_bundles(&from, &to)?;
        assert_eq!(std::fs::read(to.join("ab12/tasks/a.mjs"))?, b"a");
        assert!(!to.join(".half").exists());
        Ok(())
    }
}
