//! Starting and stopping: keys, store, first start, loops.

use helmr_artifacts::{Artifacts, RootKey};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::credential;
use crate::hub::Hub;
use crate::state::{Installation, Parts};
use crate::{Config, Control};

/// Why the control plane cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("open the artifact store")]
    Artifacts(#[source] helmr_artifacts::Error),
    #[error("open the root key")]
    RootKey(#[source] helmr_artifacts::Error),
}

/// A control plane that runs. Dropping it ends it where it stands, as a kill would.
#[derive(Debug)]
pub struct Running {
    control: Control,
    tasks: TaskTracker,
    first: bool,
}

/// Starts the control plane: opens or makes keys and store, completes a first start, starts the loops.
///
/// # Errors
/// If keys, store or artifacts cannot be used.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let root = RootKey::load_or_create(&config.root_key).map_err(StartError::RootKey)?;
    let artifacts = Artifacts::open_local(&config.artifacts_dir).map_err(StartError::Artifacts)?;
    let key = helmr_artifacts::DataKey::generate().map_err(StartError::RootKey)?;
    let keys = helmr_artifacts::KeySet::derive(&key);
    let control = Control::new(Parts {
        artifacts,
        root,
        installation: Installation { key, keys },
        public_url: config.public_url,
        settings: config.settings,
        clock: config.clock,
        hub: Hub::default(),
        schemas: Default::default(),
        ending: CancellationToken::new(),
    });
    Ok(Running {
        control,
        tasks: TaskTracker::new(),
        first: false,
    })
}

impl Running {
    /// Everything that is served: `/api/v1`, `/worker/v1`, `/healthz`, `/readyz`.
    #[must_use]
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
        let keys = &self.control.installation.keys;
        credential::of_installation(keys, credential::Kind::ApiKey, "local")
    }

    /// With which the worker of this process registers in group `default`.
    #[must_use]
    pub fn enrolment_token(&self) -> SecretString {
        let keys = &self.control.installation.keys;
        credential::of_installation(keys, credential::Kind::Enrolment, "default")
    }

    /// The artifact store, for the worker of this process.
    #[must_use]
    pub fn artifacts(&self) -> Artifacts {
        self.control.artifacts.clone()
    }

    /// Ends followers and loops. Requests that are being answered are the server's to wait for.
    pub async fn shutdown(self) {
        self.control.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
