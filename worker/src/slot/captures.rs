//! Captures of a machine that goes on living: at a run's end, and when people ask.

use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::Assignment;
use helmr_domain::VersionId;
use helmr_machine::Driver;
use tokio::time::Instant;

use super::Tenure;
use super::ending::Ending;
use super::machine::Machine;
use crate::client::Failure;

/// Between two tries of a capture that somebody waits for.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What came of a capture.
enum Outcome {
    /// The control plane has the files.
    Kept,
    /// The machine is as it was, and nothing was told.
    GivenUp,
}

impl<D: Driver> Tenure<D> {
    /// Captures once for everyone who asked. Gives when to try again, if that is needed.
    pub(super) async fn reconcile_captures(
        &mut self,
        machine: &mut Machine,
        assignment: &Assignment,
    ) -> Result<Option<Instant>, Ending> {
        let mut asked = assignment.captures.clone();
        asked.retain(|id| !machine.captured.contains(id));
        if asked.is_empty() {
            return Ok(None);
        }
        if let Some(then) = machine.capture_at.filter(|then| *then > Instant::now()) {
            return Ok(Some(then));
        }
        machine.capture_at = match self.capture_live(machine, &asked).await? {
            Outcome::Kept => {
                machine.captured.extend(asked);
                None
            }
            Outcome::GivenUp => Some(Instant::now() + AGAIN_AFTER),
        };
        Ok(machine.capture_at)
    }

    /// A run's process is gone: keeps its files, however it ended.
    pub(super) async fn capture_after_run(&mut self, machine: &mut Machine) -> Result<(), Ending> {
        if machine.frozen {
            return Ok(());
        }
        self.capture_live(machine, &[]).await.map(drop)
    }

    /// Captures and tells. May be repeated from its start: a version has the id that was asked for.
    async fn capture_live(
        &mut self,
        machine: &mut Machine,
        asked: &[VersionId],
    ) -> Result<Outcome, Ending> {
        if self.workspace.is_none() {
            return Ok(Outcome::GivenUp);
        }
        self.take_turn().await;
        self.pause(machine)
            .await
            .map_err(|error| self.gone("pause the machine", &error))?;
        fault::point("worker.version.after_pause");
        let captured = self.workspace()?.capture().await;
        fault::point("worker.version.after_capture");
        self.resume(machine)
            .await
            .map_err(|error| self.gone("resume the machine", &error))?;
        self.put_turn_down();
        let mut version = match captured {
            Ok(version) => version,
            Err(error) => {
                tracing::warn!(workspace.id = %self.record.workspace_id, error = crate::serve::describe(&error), "files of a live machine were not captured");
                return Ok(Outcome::GivenUp);
            }
        };
        match asked.last() {
            Some(id) => version.version_id = *id,
            None if self.workspace()?.is_known(&version) => return Ok(Outcome::Kept),
            None => {}
        }
        match self.reports.version(version.clone(), asked.to_vec()).await {
            Ok(()) => {}
            Err(Failure::Stale) => return Err(Ending::Lost),
            Err(refused) => {
                tracing::warn!(%refused, "a version was refused");
                return Ok(Outcome::GivenUp);
            }
        }
        fault::point("worker.version.after_commit");
        let workspace = self.workspace()?;
        workspace.committed(&version);
        workspace.save_index();
        Ok(Outcome::Kept)
    }
}
