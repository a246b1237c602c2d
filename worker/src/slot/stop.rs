//! The end of a machine for lack of work, and the capture of its files.

use std::sync::atomic::Ordering;
use std::time::Duration;

use helmr_api::fault;
use helmr_api::worker::CapturedVersion;
use helmr_machine::Driver;
use tokio::time::{Instant, timeout};

use super::Tenure;
use super::ending::Ending;
use super::machine::Machine;
use crate::backoff::Backoff;
use crate::client::Failure;
use crate::disks::Need;
use crate::record::Phase;

/// A machine that died is reported without a version if its files cannot be captured within this.
const LAST_FILES_WITHIN: Duration = Duration::from_secs(300);
const ASSIGNMENT_WITHIN: Duration = Duration::from_secs(10);

impl<D: Driver> Tenure<D> {
    /// Stops. `None` if the machine stays live: it has work again.
    pub(super) async fn stop(&mut self, machine: &mut Machine) -> Result<Option<Ending>, Ending> {
        match self.reports.stopping().await {
            Ok(()) => {}
            Err(Failure::Stale) => return Err(Ending::Lost),
            Err(refused) => {
                tracing::debug!(workspace.id = %self.record.workspace_id, %refused, "not stopped");
                machine.pace.refused(Instant::now());
                return Ok(None);
            }
        }
        fault::point("worker.stop.after_stopping");
        machine.settle().await;
        self.finish_stop().await.map(Some)
    }

    /// Ends the machine, keeps its files, and tells. May be repeated from its start.
    pub(super) async fn finish_stop(&mut self) -> Result<Ending, Ending> {
        self.mark(Phase::Stopping);
        // Every write of the machine's processes is in the tree already, so killing loses none.
        self.kill().await;
        fault::point("worker.stop.after_kill");
        let assignment = self.first_assignment().await?;
        self.open_workspace(&assignment, Need::AsItIs).await?;
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(60));
        let version = loop {
            match self.workspace()?.capture().await {
                Ok(version) => break version,
                Err(error) => {
                    // The files are on this disk and nowhere else: they are not given up.
                    tracing::error!(workspace.id = %self.record.workspace_id, error = crate::serve::describe(&error), "files could not be captured; again");
                    backoff.wait().await;
                }
            }
        };
        fault::point("worker.stop.after_capture");
        let changed = (!self.workspace()?.is_known(&version)).then(|| version.clone());
        self.released.store(true, Ordering::SeqCst);
        self.reports.stopped(changed).await?;
        let workspace = self.workspace()?;
        workspace.settle(&version);
        workspace.save_index();
        self.remove_machine();
        Ok(Ending::Stopped)
    }

    /// What a machine that died left on disk, if it can be captured at all.
    pub(super) async fn last_files(&mut self) -> Option<CapturedVersion> {
        if self.workspace.is_none() {
            let assignment = timeout(ASSIGNMENT_WITHIN, self.first_assignment())
                .await
                .ok()?
                .ok()?;
            self.open_workspace(&assignment, Need::AsItIs).await.ok()?;
        }
        let workspace = self.workspace.as_mut()?;
        match timeout(LAST_FILES_WITHIN, workspace.capture()).await {
            Ok(Ok(version)) => (!workspace.is_known(&version)).then_some(version),
            Ok(Err(error)) => {
                tracing::error!(
                    error = crate::serve::describe(&error),
                    "the files of a machine that died were not captured"
                );
                None
            }
            Err(_) => {
                tracing::error!("the files of a machine that died were not captured in time");
                None
            }
        }
    }
}
