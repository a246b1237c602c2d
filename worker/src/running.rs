//! A worker from the outside: started, waited for, told to stop.

use std::time::Duration;

use helmr_api::transport::Connector;
use helmr_artifacts::Artifacts;
use helmr_machine::Driver;

use crate::{Config, Error};

/// Starts workers.
#[derive(Debug)]
pub struct Worker;

impl Worker {
    /// Starts a worker: reads what an earlier one left in its directory and begins to reach for the control plane, for
    /// ever. Returns before the control plane has answered; see [`Running::ready`].
    ///
    /// # Errors
    /// `Io` or `Unreadable` if the data directory cannot be used.
    #[expect(clippy::unused_async, reason = "signature first")]
    pub async fn start<D: Driver>(
        config: Config,
        driver: D,
        artifacts: Artifacts,
        transport: Connector,
    ) -> Result<Running, Error> {
        drop((config, driver, artifacts, transport));
        Ok(Running {})
    }
}

/// A worker that runs. Dropping it ends it where it stands, as a kill would: machines stay and the next start adopts
/// them.
#[derive(Debug)]
pub struct Running {}

impl Running {
    /// Waits until the worker is registered, has adopted what was left, and takes assignments.
    ///
    /// # Errors
    /// `Refused` if the control plane does not want it.
    #[expect(clippy::unused_async, reason = "signature first")]
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Stops: lets runs reach a wait for up to `drain_grace`, parks every machine, running ones too, and returns when
    /// none is left.
    #[expect(clippy::unused_async, reason = "signature first")]
    pub async fn shutdown(self, drain_grace: Duration) {
        drop((self, drain_grace));
    }
}
