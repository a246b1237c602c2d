//! Starting and stopping: keys, store, first start, loops.

use std::path::Path;

use helmr_artifacts::{Artifacts, KeySet, RootKey};
use helmr_store::{Store, setup, worker};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::credential::{self, Kind};
use crate::declared::Declared;
use crate::entropy::{self, NoRandomness};
use crate::hub::Hub;
use crate::news::News;
use crate::state::{Installation, Parts};
use crate::{Config, Control, Database, keyring, loops};

/// Names under which the installation's own credentials are derived.
const LOCAL_KEY: &str = "local";
const DEFAULT_GROUP: &str = "default";

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("open the artifact store")]
    Artifacts(#[source] helmr_artifacts::Error),
    #[error("open the installation's keys")]
    Keys(#[source] helmr_artifacts::Error),
    #[error("open the store")]
    Store(#[source] helmr_store::Error),
    #[error("make ids and credentials")]
    Randomness(#[from] NoRandomness),
    #[error("a task of the start ended early")]
    Abandoned,
}

/// A control plane that runs. Dropping it ends it where it stands, as a kill would.
#[derive(Debug)]
pub struct Running {
    control: Control,
    first: bool,
}

/// Starts the control plane: opens or makes keys and store, completes a first start, starts the loops.
///
/// # Errors
/// If keys, store or artifacts cannot be used.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let (root, artifacts) = open_files(&config).await?;
    let store = open_store(&config.database).await?;
    let moment = helmr_domain::Moment::new(config.clock.now(), entropy::bytes()?);
    let installation = match setup::installation(&store)
        .await
        .map_err(StartError::Store)?
    {
        Some(installation) => installation,
        None => first_start(&store, &root, moment).await?,
    };
    let key = root
        .unwrap_key(
            keyring::INSTALLATION,
            &installation.wrapped_installation_key,
        )
        .map_err(StartError::Keys)?;
    if let Some(hot_window) = config.settings.hot_window {
        let environment = installation.scope.environment;
        setup::set_hot_window(&store, environment, Some(hot_window))
            .await
            .map_err(StartError::Store)?;
    }
    if let Some(idle_after) = config.settings.pty_idle_after {
        let environment = installation.scope.environment;
        setup::set_pty_idle_after(&store, environment, Some(idle_after))
            .await
            .map_err(StartError::Store)?;
    }
    // Connections of an earlier process are gone with it.
    let organization = installation.scope.organization;
    for known in worker::list(&store, organization)
        .await
        .map_err(StartError::Store)?
    {
        worker::disconnected(&store, known.id, moment)
            .await
            .map_err(StartError::Store)?;
    }
    let control = Control::new(Parts {
        store,
        artifacts,
        root,
        installation: Installation {
            organization,
            keys: KeySet::derive(&key),
            key,
        },
        public_url: config.public_url,
        settings: config.settings,
        clock: config.clock,
        hub: Hub::default(),
        sweeping: tokio::sync::Mutex::default(),
        news: News::default(),
        declared: Declared::default(),
        schemas: crate::schema::Cache::default(),
        works: helmr_files::Works::default(),
        outlines: crate::outlines::Outlines::default(),
        ending: CancellationToken::new(),
        tasks: TaskTracker::new(),
        environments: std::sync::Mutex::default(),
        runs: std::sync::Mutex::default(),
        workers: std::sync::Mutex::default(),
        touched: std::sync::Mutex::default(),
    });
    let news = control.news.clone();
    control
        .tasks
        .spawn(news.run(control.store.hints(), control.ending.clone()));
    loops::spawn(&control);
    Ok(Running {
        control,
        first: installation.created,
    })
}

async fn open_files(config: &Config) -> Result<(RootKey, Artifacts), StartError> {
    let (key_path, artifacts_dir) = (config.root_key.clone(), config.artifacts_dir.clone());
    tokio::task::spawn_blocking(move || {
        let root = RootKey::load_or_create(&key_path).map_err(StartError::Keys)?;
        let artifacts = Artifacts::open_local(&artifacts_dir).map_err(StartError::Artifacts)?;
        Ok((root, artifacts))
    })
    .await
    .map_err(|_| StartError::Abandoned)?
}

async fn open_store(database: &Database) -> Result<Store, StartError> {
    let opened = match database {
        Database::Sqlite(path) => {
            let path = path.clone();
            tokio::task::spawn_blocking(move || Store::open_sqlite(Path::new(&path)))
                .await
                .map_err(|_| StartError::Abandoned)?
        }
        Database::InMemory => Store::open_sqlite_in_memory(),
        Database::Postgres(url) => Store::connect_postgres(url).await,
    };
    opened.map_err(StartError::Store)
}

async fn first_start(
    store: &Store,
    root: &RootKey,
    at: helmr_domain::Moment,
) -> Result<setup::Installation, StartError> {
    let fresh = keyring::make(root).map_err(StartError::Keys)?;
    let keys = &fresh.installation_keys;
    let api_key = credential::of_installation(keys, Kind::ApiKey, LOCAL_KEY);
    let enrolment = credential::of_installation(keys, Kind::Enrolment, DEFAULT_GROUP);
    let input = setup::FirstStart {
        at,
        organization_name: "Helmr".to_owned(),
        api_key_hash: credential::hash_secret(keys, Kind::ApiKey, &api_key),
        api_key_name: LOCAL_KEY.to_owned(),
        api_key_scopes: vec!["*".to_owned()],
        enrolment_hash: credential::hash_secret(keys, Kind::Enrolment, &enrolment),
        wrapped_installation_key: fresh.wrapped_installation_key,
        wrapped_environment_key: fresh.wrapped_environment_key,
    };
    setup::first_start(store, input)
        .await
        .map_err(StartError::Store)
}

impl Running {
    /// Everything that is served: `/api/v1`, `/worker/v1`, `/healthz`, `/readyz`.
    pub fn router(&self) -> axum::Router {
        crate::http::router(self.control.clone())
    }

    /// Whether this start made the installation.
    #[must_use]
    pub fn is_first_start(&self) -> bool {
        self.first
    }

    /// The API key of the first start, for `Main` / `Production`: the same at every start, so that it can be written down
    /// again.
    #[must_use]
    pub fn local_api_key(&self) -> SecretString {
        credential::of_installation(&self.control.installation.keys, Kind::ApiKey, LOCAL_KEY)
    }

    /// With which the worker of this process registers in group `default`.
    #[must_use]
    pub fn enrolment_token(&self) -> SecretString {
        let keys = &self.control.installation.keys;
        credential::of_installation(keys, Kind::Enrolment, DEFAULT_GROUP)
    }

    /// The artifact store, for the worker of this process.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        self.control.artifacts.clone()
    }

    #[cfg(test)]
    pub(crate) fn control(&self) -> Control {
        self.control.clone()
    }

    /// Ends followers and loops, and the connections to workers: stop the worker of this process first. Requests that are
    /// being answered are the server's to wait for.
    pub async fn shutdown(self) {
        self.control.ending.cancel();
        self.control.tasks.close();
        self.control.tasks.wait().await;
    }
}
