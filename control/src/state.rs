//! What every handler and loop holds: one cheap handle on everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use helmr_artifacts::{Artifacts, DataKey, KeySet, RootKey};
use helmr_domain::{
    ApiKeyId, Duration, EnvironmentId, Moment, OrganizationId, RunId, SessionId, Timestamp,
    WorkerId,
};
use helmr_files::Works;
use helmr_store::worker::{self, RunFence};
use helmr_store::{Store, setup};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::declared::Declared;
use crate::entropy::{self, NoRandomness};
use crate::hub::Hub;
use crate::news::News;
use crate::outlines::Outlines;
use crate::{ApiError, Clock, Settings, credential, keyring, schema};

/// The control plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) artifacts: Artifacts,
    pub(crate) root: RootKey,
    pub(crate) installation: Installation,
    pub(crate) public_url: String,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    /// Held by the one round of garbage collection at a time.
    pub(crate) sweeping: tokio::sync::Mutex<()>,
    pub(crate) news: News,
    pub(crate) declared: Declared,
    pub(crate) schemas: schema::Cache,
    /// Work on the files of versions.
    pub(crate) works: Works,
    pub(crate) outlines: Outlines,
    /// Cancelled when the server is to end: followers end, loops return.
    pub(crate) ending: CancellationToken,
    /// Everything that runs beside requests.
    pub(crate) tasks: TaskTracker,
    pub(crate) environments: Mutex<HashMap<EnvironmentId, Environment>>,
    /// Where runs belong, for what tasks ask often.
    pub(crate) runs: Mutex<HashMap<RunId, RunPlace>>,
    /// Whose the credentials of workers are, and since when that is known.
    pub(crate) workers: Mutex<HashMap<credential::Hash, (WorkerId, Timestamp)>>,
    /// When each API key's use was last noted.
    pub(crate) touched: Mutex<HashMap<ApiKeyId, Timestamp>>,
}

/// The installation's own key, for base images, credentials and runtimes.
pub(crate) struct Installation {
    pub(crate) organization: OrganizationId,
    pub(crate) key: DataKey,
    pub(crate) keys: KeySet,
}

/// An environment with its key unwrapped.
#[derive(Clone)]
pub(crate) struct Environment {
    pub(crate) row: Arc<setup::Environment>,
    pub(crate) key: DataKey,
    pub(crate) keys: KeySet,
}

/// Where a run belongs, for good.
#[derive(Clone)]
pub(crate) struct RunPlace {
    pub(crate) environment: EnvironmentId,
    pub(crate) session: SessionId,
}

/// Runs whose place is remembered.
const RUNS_KNOWN: usize = 4_096;
/// How long a worker's credential is believed without asking again: another process may have replaced it. What a worker
/// may write is told by its leases, which are looked up each time.
const CREDENTIAL_KNOWN_FOR: Duration = Duration::from_secs(5);
/// How often the use of a key is noted.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The instant and the randomness of one operation.
    pub(crate) fn moment(&self) -> Result<Moment, NoRandomness> {
        let moment = Moment::new(self.now(), entropy::bytes()?);
        Ok(moment.with_wall(self.clock.wall()))
    }

    /// An environment and its keys. Names and keys of environments do not change while the process lives.
    pub(crate) async fn environment(&self, id: EnvironmentId) -> Result<Environment, ApiError> {
        if let Some(known) = self.known_environments().get(&id) {
            return Ok(known.clone());
        }
        let row = setup::environment(&self.store, id)
            .await?
            .ok_or_else(|| ApiError::internal_text("an environment in use is not in the store"))?;
        let key = self
            .root
            .unwrap_key(keyring::ENVIRONMENT, &row.wrapped_key)
            .map_err(|error| ApiError::internal(&error))?;
        let environment = Environment {
            row: Arc::new(row),
            keys: KeySet::derive(&key),
            key,
        };
        self.known_environments().insert(id, environment.clone());
        Ok(environment)
    }

    /// Where the run under `fence` belongs. Says nothing about the lease, which is checked where something is written.
    ///
    /// # Errors
    /// `stale_lease` if the run was not asked for before and the lease is not held.
    pub(crate) async fn place_of(&self, fence: RunFence) -> Result<RunPlace, ApiError> {
        if let Some(known) = self.known_runs().get(&fence.run_id) {
            return Ok(known.clone());
        }
        let input = worker::run_input(&self.store, fence).await?;
        let place = RunPlace {
            environment: input.run.scope.environment,
            session: input.run.session_id,
        };
        let mut runs = self.known_runs();
        if runs.len() >= RUNS_KNOWN {
            runs.clear();
        }
        runs.insert(fence.run_id, place.clone());
        Ok(place)
    }

    /// The worker whose credential has this hash.
    pub(crate) async fn worker_of(
        &self,
        credential: credential::Hash,
    ) -> Result<Option<WorkerId>, ApiError> {
        let now = self.now();
        let known = self.known_workers().get(&credential).copied();
        if let Some((worker, since)) = known
            && now.since(since) < CREDENTIAL_KNOWN_FOR
        {
            return Ok(Some(worker));
        }
        let found = worker::find_by_credential(&self.store, credential).await?;
        let mut workers = self.known_workers();
        workers.retain(|_, (_, since)| now.since(*since) < CREDENTIAL_KNOWN_FOR);
        if let Some(worker) = &found {
            workers.insert(credential, (worker.id, now));
        }
        Ok(found.map(|worker| worker.id))
    }

    /// Asks for all credentials of workers anew: one was replaced.
    pub(crate) fn forget_credentials(&self) {
        self.known_workers().clear();
    }

    fn known_runs(&self) -> MutexGuard<'_, HashMap<RunId, RunPlace>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_workers(&self) -> MutexGuard<'_, HashMap<credential::Hash, (WorkerId, Timestamp)>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_environments(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Environment>> {
        self.environments
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the use of a key is to be noted now.
    pub(crate) fn is_touch_due(&self, key: ApiKeyId) -> bool {
        let now = self.now();
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        match touched.get(&key) {
            Some(at) if now.since(*at) < TOUCH_INTERVAL => false,
            Some(_) | None => {
                touched.insert(key, now);
                true
            }
        }
    }
}

impl std::ops::Deref for Control {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Control")
    }
}
