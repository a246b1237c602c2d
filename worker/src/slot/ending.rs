//! How a slot ends, and what is then done with what it leaves.

use std::time::Duration;

use helmr_api::worker::MachineFailed;
use helmr_machine::{Driver, Presence};

use super::Tenure;
use crate::backoff::Backoff;
use crate::client::Failure;
use crate::copies;
use crate::directory::{entries, remove};
use crate::record::Phase;

/// How long a kill may take.
pub(super) const KILL_WITHIN: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) enum Ending {
    /// Parked, and cleaned up.
    Parked,
    /// Stopped, and cleaned up.
    Stopped,
    /// The lease is another's.
    Lost,
    /// The machine could not be made or is gone.
    Failed(Box<Cause>),
    /// The worker goes away and the machine could not be parked: the next worker adopts it.
    Left,
}

/// Why a machine failed.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) kind: &'static str,
    pub(super) message: String,
    /// The tree may hold more than the last version.
    pub(super) ran: bool,
    pub(super) checkpoint_kept: bool,
}

impl Ending {
    pub(super) fn failed(kind: &'static str, message: String) -> Self {
        Self::Failed(Box::new(Cause {
            kind,
            message,
            ran: false,
            checkpoint_kept: false,
        }))
    }

    /// The host itself does not do what it should.
    pub(super) fn host(operation: &str, error: &dyn std::error::Error) -> Self {
        let message = format!("{operation}: {}", crate::serve::describe(error));
        Self::failed("sandbox_failed", message)
    }

    pub(super) fn died(message: String) -> Self {
        Self::Failed(Box::new(Cause {
            kind: "machine_died",
            message,
            ran: true,
            checkpoint_kept: false,
        }))
    }

    /// A failure after which the machine can still be restored.
    pub(super) fn with_image_kept(self) -> Self {
        match self {
            Self::Failed(cause) => Self::Failed(Box::new(Cause {
                checkpoint_kept: true,
                ran: false,
                ..*cause
            })),
            other @ (Self::Parked | Self::Stopped | Self::Lost | Self::Left) => other,
        }
    }
}

impl<D: Driver> Tenure<D> {
    pub(super) async fn end(mut self, ending: Ending) {
        let workspace_id = self.record.workspace_id;
        // Nothing is written for a machine that is over.
        self.take_turn().await;
        match ending {
            Ending::Parked => {}
            Ending::Stopped => tracing::info!(workspace.id = %workspace_id, "machine stopped"),
            Ending::Left => {
                tracing::warn!(workspace.id = %workspace_id, "machine left running for the next worker");
            }
            Ending::Lost => {
                tracing::warn!(workspace.id = %workspace_id, lease.epoch = self.record.epoch, "lease lost; machine ends");
                self.kill().await;
                self.keep_or_remove();
            }
            Ending::Failed(cause) => self.fail(*cause).await,
        }
        if let Some(copy) = self.copying.take() {
            copies::settle(&self.base, copy).await;
        }
    }

    async fn fail(&mut self, cause: Cause) {
        let workspace_id = self.record.workspace_id;
        let cause = self.explained(cause).await;
        tracing::warn!(workspace.id = %workspace_id, kind = cause.kind, reason = cause.message, "machine failed");
        self.kill().await;
        let version = if cause.ran {
            self.last_files().await
        } else {
            None
        };
        let report = MachineFailed {
            kind: cause.kind.to_owned(),
            message: cause.message,
            version: version.clone(),
            checkpoint_kept: cause.checkpoint_kept,
        };
        let kept = cause.checkpoint_kept || matches!(self.record.phase, Phase::Parked { .. });
        if kept {
            // Before the report: the next wake may come at once.
            self.keep_or_remove();
        }
        match self.reports.failed(report).await {
            Ok(()) => {
                if let (Some(version), Some(workspace)) = (version, self.workspace.as_mut()) {
                    workspace.settle(&version);
                }
            }
            Err(Failure::Stale) => {}
            Err(refused) => tracing::error!(%refused, "a machine's failure was refused"),
        }
        if !kept {
            self.remove_machine();
        }
    }

    /// Looks, while its control group is still there, whether a machine that died had used up its memory.
    async fn explained(&self, cause: Cause) -> Cause {
        if cause.kind != "machine_died" {
            return cause;
        }
        let driver = &self.base.driver;
        let gone = matches!(driver.presence(&self.attempt()).await, Ok(Presence::Gone));
        match driver.stats(&self.attempt()).await {
            Ok(stats) if gone && stats.oom_kills > 0 => Cause {
                kind: "out_of_memory",
                message: format!(
                    "the machine needed more than its memory and was ended ({})",
                    cause.message
                ),
                ..cause
            },
            _ => cause,
        }
    }

    /// Ends the newest attempt and everything the runtime has of it. Repeated until it works: nothing may run on.
    pub(super) async fn kill(&mut self) {
        if self.record.attempt == 0 {
            return;
        }
        let attempt = self.attempt();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        while let Err(error) = self.base.driver.kill(&attempt, KILL_WITHIN).await {
            tracing::error!(machine = attempt.container(), %error, "a machine could not be killed; again");
            backoff.wait().await;
        }
    }

    /// Keeps a memory image that may be all there is of the machine, else removes everything.
    fn keep_or_remove(&mut self) {
        let image = self
            .record
            .phase
            .checkpoint()
            .filter(|id| self.machine_dir.checkpoint(*id).exists());
        let Some(checkpoint_id) = image else {
            self.remove_machine();
            return;
        };
        self.mark(Phase::Parked { checkpoint_id });
        self.remove_attempts();
    }

    pub(super) fn remove_machine(&self) {
        discard(&self.machine_dir.path);
    }

    /// Removes what starts and restores left; the image and the bundles stay.
    pub(super) fn remove_attempts(&self) {
        discard(&self.machine_dir.attempts());
    }

    /// Removes every image but the one that is named.
    pub(super) fn remove_images_but(&self, kept: Option<helmr_domain::CheckpointId>) {
        for id in entries(&self.machine_dir.checkpoints()).unwrap_or_default() {
            if Some(id) != kept {
                discard(&self.machine_dir.checkpoint(id));
            }
        }
    }
}

/// Removes a tree, which may take a while, beside everything else. What stays is removed at the next start.
pub(super) fn discard(path: &std::path::Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return;
    };
    // Out of the way first, so that whoever comes next finds nothing.
    let aside = path.with_file_name(format!(".{name}.{}", crate::images::unique()));
    let path = match std::fs::rename(path, &aside) {
        Ok(()) => aside,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(_) => path.to_owned(),
    };
    drop(tokio::task::spawn_blocking(move || {
        if let Err(error) = remove(&path) {
            tracing::warn!(path = %path.display(), %error, "something could not be removed");
        }
    }));
}
