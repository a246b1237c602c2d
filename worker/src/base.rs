//! What every part of a worker shares.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use helmr_artifacts::{Artifacts, KeySet};
use helmr_files::Works;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::bundles::Bundles;
use crate::client::Client;
use crate::directory::Directory;
use crate::disks::Disks;
use crate::images::Images;
use crate::turns::Turns;

/// Made once at the start of a worker.
pub(crate) struct Base<D> {
    pub(crate) directory: Directory,
    pub(crate) driver: D,
    /// What the control plane calls the driver.
    pub(crate) driver_name: String,
    pub(crate) artifacts: Artifacts,
    pub(crate) client: Arc<Client>,
    pub(crate) guest_dir: PathBuf,
    pub(crate) images: Images,
    pub(crate) bundles: Bundles,
    pub(crate) disks: Arc<Disks>,
    pub(crate) turns: Turns,
    /// Work on files for clients.
    pub(crate) works: Works,
    /// Told at registration.
    pub(crate) terms: OnceLock<Terms>,
    /// What the files of workspaces in which nothing runs may take.
    pub(crate) cache_bytes: u64,
    /// Has what is left over looked at soon.
    pub(crate) tidy: Notify,
    /// Has the next heartbeat sent at once.
    pub(crate) renew: Notify,
    /// The worker goes away.
    pub(crate) draining: CancellationToken,
}

/// What the control plane said at registration.
pub(crate) struct Terms {
    pub(crate) heartbeat_interval: Duration,
    pub(crate) lease_ttl: Duration,
    /// After how long without a word from any worker a guest stops its processes.
    pub(crate) silence_limit: Duration,
    pub(crate) installation_keys: KeySet,
}

impl<D> Base<D> {
    /// The keys of base images and runtimes. `None` before registration.
    pub(crate) fn installation_keys(&self) -> Option<KeySet> {
        self.terms
            .get()
            .map(|terms| terms.installation_keys.clone())
    }
}
