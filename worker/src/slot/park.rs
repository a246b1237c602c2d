//! Parking: memory and files are set aside and committed, then the machine is killed. Any failure before the commit leaves
//! it live.

use std::sync::atomic::Ordering;
use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::{CapturedVersion, Parked, Timings};
use helmr_domain::CheckpointId;
use helmr_machine::Driver;
use tokio::time::Instant;

use super::Tenure;
use super::ending::{Ending, discard};
use super::machine::Machine;
use super::start::millis;
use crate::client::Failure;
use crate::clock;
use crate::record::Phase;
use crate::workspace;

/// Checkpoints run at 0.5 s per GiB; a disk under load may take many times that.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(60);
const CHECKPOINT_PER_GIB: Duration = Duration::from_secs(20);

/// Why the machine stays live.
#[derive(Debug, thiserror::Error)]
enum NotSetAside {
    #[error("something came for it to do")]
    Wanted,
    #[error(transparent)]
    Driver(#[from] helmr_machine::Error),
    #[error(transparent)]
    Files(#[from] workspace::Error),
    #[error("write the machine's record: {0}")]
    Record(#[source] std::io::Error),
}

impl<D: Driver> Tenure<D> {
    /// Parks. `None` if the machine stays live.
    pub(super) async fn park(
        &mut self,
        machine: &mut Machine,
        draining: bool,
    ) -> Result<Option<Ending>, Ending> {
        if self.workspace.is_none() {
            // Adopted, and no assignment came: without its keys nothing can be set aside.
            return Ok(Some(Ending::Left));
        }
        match self.reports.parking().await {
            Ok(()) => {}
            Err(Failure::Stale) => return Err(Ending::Lost),
            // A worker that goes away sets its machines aside whatever their runs do.
            Err(busy) if draining && busy.is_code("machine_busy") => {}
            Err(refused) => {
                tracing::debug!(workspace.id = %self.record.workspace_id, %refused, "not parked");
                machine.pace.refused(Instant::now());
                return Ok(None);
            }
        }
        fault::point("worker.park.after_parking");
        let checkpoint_id = CheckpointId::new(clock::now(), clock::random());
        match self.set_aside(machine, checkpoint_id, draining).await {
            Ok(parked) => self.commit(machine, parked).await,
            Err(reason) => {
                tracing::warn!(workspace.id = %self.record.workspace_id, %reason, "a park was given up");
                self.stay_live(machine, checkpoint_id, &reason).await?;
                let give_up = draining && machine.pace.failures() >= 3;
                Ok(give_up.then_some(Ending::Left))
            }
        }
    }

    async fn set_aside(
        &mut self,
        machine: &mut Machine,
        checkpoint_id: CheckpointId,
        draining: bool,
    ) -> Result<Parked, NotSetAside> {
        self.note(Phase::Parking { checkpoint_id })
            .map_err(NotSetAside::Record)?;
        let begun = Instant::now();
        self.pause(machine).await?;
        let pause = begun.elapsed();
        fault::point("worker.park.after_pause");
        if !draining && self.is_wanted() {
            return Err(NotSetAside::Wanted);
        }
        let image = self.machine_dir.checkpoint(checkpoint_id);
        std::fs::create_dir_all(self.machine_dir.checkpoints()).map_err(NotSetAside::Record)?;
        let deadline = self.checkpoint_deadline();
        let Some(workspace) = self.workspace.as_mut() else {
            return Err(NotSetAside::Wanted);
        };
        // Side by side: nothing runs that could change memory or files, and each waits for the disk most of the time.
        let capture = async {
            let begun = Instant::now();
            let version = workspace.capture().await?;
            fault::point("worker.park.after_capture");
            Ok::<_, NotSetAside>((version, begun.elapsed()))
        };
        let checkpoint = async {
            let begun = Instant::now();
            let driver = &self.base.driver;
            let size = driver
                .checkpoint(&machine.attempt, &image, deadline)
                .await?;
            fault::point("worker.park.after_checkpoint");
            Ok::<_, NotSetAside>((size, begun.elapsed()))
        };
        let record = async {
            let (record, directory) = (self.record.clone(), self.machine_dir.clone());
            tokio::task::spawn_blocking(move || record.write_durably(&directory))
                .await
                .map_err(std::io::Error::other)
                .and_then(|written| written)
                .map_err(NotSetAside::Record)
        };
        let (captured, checkpointed, recorded) = tokio::join!(capture, checkpoint, record);
        let ((version, capture), (checkpoint_size_bytes, checkpoint)) = (captured?, checkpointed?);
        recorded?;
        Ok(Parked {
            checkpoint_id,
            checkpoint_size_bytes,
            runtime_identity: self.base.driver.identity().0,
            version,
            draining,
            timings_ms: Timings {
                pause: millis(pause),
                capture: millis(capture),
                checkpoint: millis(checkpoint),
            },
        })
    }

    /// Commits the park. From then on the image is the machine, and what still stands of it is killed.
    async fn commit(
        &mut self,
        machine: &mut Machine,
        parked: Parked,
    ) -> Result<Option<Ending>, Ending> {
        let begun = Instant::now();
        let checkpoint_id = parked.checkpoint_id;
        let timings = parked.timings_ms.clone();
        let version: CapturedVersion = parked.version.clone();
        self.released.store(true, Ordering::SeqCst);
        match self.reports.parked(parked).await {
            // Stale: either an answer was lost and the park stands, or the lease was lost before. In both cases nothing
            // may run on, and the image may be all there is.
            Ok(()) | Err(Failure::Stale) => {}
            Err(refused) => {
                tracing::error!(workspace.id = %self.record.workspace_id, %refused, "a park was refused");
                self.released.store(false, Ordering::SeqCst);
                let reason = NotSetAside::Wanted;
                self.stay_live(machine, checkpoint_id, &reason).await?;
                return Ok(None);
            }
        }
        fault::point("worker.park.after_parked_commit");
        self.mark(Phase::Parked { checkpoint_id });
        let committed = Instant::now();
        self.kill().await;
        fault::point("worker.park.after_kill");
        self.remove_attempts();
        self.remove_images_but(Some(checkpoint_id));
        let workspace = self.workspace()?;
        workspace.settle(&version);
        workspace.save_index();
        tracing::info!(
            workspace.id = %self.record.workspace_id,
            pause_ms = timings.pause,
            capture_ms = timings.capture,
            checkpoint_ms = timings.checkpoint,
            commit_ms = millis(committed - begun),
            kill_ms = millis(committed.elapsed()),
            "machine parked"
        );
        Ok(Some(Ending::Parked))
    }

    /// Has the machine go on after a park that was given up.
    async fn stay_live(
        &mut self,
        machine: &mut Machine,
        checkpoint_id: CheckpointId,
        reason: &NotSetAside,
    ) -> Result<(), Ending> {
        discard(&self.machine_dir.checkpoint(checkpoint_id));
        self.resume(machine)
            .await
            .map_err(|error| self.gone("resume the machine", &error))?;
        self.mark(Phase::Live {
            confirmed: true,
            restored_from: None,
        });
        match self.reports.unparked().await {
            Ok(()) => {}
            Err(Failure::Stale) => return Err(Ending::Lost),
            Err(refused) => {
                tracing::error!(workspace.id = %self.record.workspace_id, %refused, "an unpark was refused");
            }
        }
        match reason {
            NotSetAside::Wanted => machine.pace.refused(Instant::now()),
            NotSetAside::Driver(_) | NotSetAside::Files(_) | NotSetAside::Record(_) => {
                machine.pace.failed(Instant::now());
            }
        }
        Ok(())
    }

    /// Whether something has come for a run to do since parking was decided.
    fn is_wanted(&self) -> bool {
        let directive = self.directive.borrow();
        directive.assignment.as_ref().is_some_and(|assignment| {
            !assignment.forks.is_empty()
                || assignment.runs.iter().any(|run| {
                    !run.outcomes.is_empty() || run.stop.is_some() || run.waiting.is_none()
                })
        })
    }

    pub(super) fn checkpoint_deadline(&self) -> Duration {
        let memory = self
            .assignment()
            .map_or(0, |assignment| assignment.machine.memory_bytes);
        let gib = u32::try_from(memory >> 30).unwrap_or(u32::MAX).min(4096);
        CHECKPOINT_WITHIN + CHECKPOINT_PER_GIB * gib
    }
}
