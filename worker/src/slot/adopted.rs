//! A machine that an earlier worker left, taken over without its tasks noticing.

use std::time::Duration;

use helmr_machine::host::{Link, Listener};
use helmr_machine::{Attempt, Driver, Presence};

use super::Tenure;
use super::ending::{Ending, discard};
use super::machine::{Machine, PAUSE_WITHIN};
use crate::record::Phase;

/// A guest redials within milliseconds, or after its heartbeat has noticed that nobody is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const LOOKS: u32 = 30;

impl<D: Driver> Tenure<D> {
    /// Continues where the record says. Called for a machine that was live, or about to be parked.
    pub(super) async fn readopt(&mut self) -> Result<Machine, Ending> {
        let attempt = self.attempt();
        let presence = self
            .base
            .driver
            .presence(&attempt)
            .await
            .map_err(|error| Ending::host("look for the machine", &error))?;
        if presence == Presence::Gone {
            return Err(Ending::died(
                "the machine ended while no worker was there".to_owned(),
            ));
        }
        let host_dir = self.machine_dir.host(attempt.number);
        let listener = Listener::bind(&host_dir, &attempt, self.silence_limit())
            .map_err(|error| self.gone("listen for the machine", &error))?;
        let link = self.hear(&attempt, &listener).await?;
        let machine = self.machine(attempt, link, None);
        self.catch_up(&machine).await?;
        Ok(machine)
    }

    /// Waits for the guest. The earlier worker may have paused the machine, and what it had asked of the runtime may
    /// still be under way, so it is looked at again.
    async fn hear(&self, attempt: &Attempt, listener: &Listener) -> Result<Link, Ending> {
        let driver = &self.base.driver;
        let mut reason = String::new();
        for _ in 0..LOOKS {
            match driver.presence(attempt).await {
                Ok(Presence::Gone) => {
                    return Err(Ending::died("the machine ended".to_owned()));
                }
                Ok(Presence::Paused) => {
                    if let Err(error) = driver.resume(attempt, PAUSE_WITHIN).await {
                        tracing::warn!(machine = attempt.container(), %error, "a machine was not resumed");
                    }
                }
                Ok(Presence::Running) => {}
                Err(error) => {
                    tracing::warn!(machine = attempt.container(), %error, "cannot tell whether a machine is there");
                }
            }
            match listener.greeted(LOOK_EVERY).await {
                Ok(link) => return Ok(link),
                Err(error) => reason = error.to_string(),
            }
        }
        Err(Ending::died(reason))
    }

    /// Does what the earlier worker had still to do before the machine was live for everyone.
    async fn catch_up(&mut self, machine: &Machine) -> Result<(), Ending> {
        match self.record.phase.clone() {
            Phase::Parking { checkpoint_id } => {
                discard(&self.machine_dir.checkpoint(checkpoint_id));
                self.mark(Phase::Live {
                    confirmed: true,
                    restored_from: None,
                });
                self.reports.unparked().await?;
            }
            Phase::Live {
                confirmed: false,
                restored_from,
            } => {
                if restored_from.is_some() {
                    self.announce(machine).await?;
                }
                self.reports.live().await?;
                self.confirmed();
            }
            Phase::Live {
                confirmed: true, ..
            } => {
                self.remove_images_but(None);
                // The earlier worker may have told that it parks or stops, and not noted that any more.
                self.reports.live().await?;
            }
            Phase::Starting
            | Phase::Restoring { .. }
            | Phase::Parked { .. }
            | Phase::Forked { .. }
            | Phase::Stopping => {}
        }
        Ok(())
    }
}
