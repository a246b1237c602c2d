//! What every handler and loop holds: one cheap handle on everything.

use std::sync::Arc;

use helmr_artifacts::{Artifacts, DataKey, KeySet, RootKey};
use helmr_domain::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::hub::Hub;
use crate::schema;
use crate::{Clock, Settings};

/// The control plane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Control(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) artifacts: Artifacts,
    pub(crate) root: RootKey,
    pub(crate) installation: Installation,
    pub(crate) public_url: String,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) hub: Hub,
    pub(crate) schemas: schema::Cache,
    /// Cancelled when the server is to end: followers end, loops return.
    pub(crate) ending: CancellationToken,
}

/// The installation's own key, for base images, credentials and runtimes.
pub(crate) struct Installation {
    pub(crate) key: DataKey,
    pub(crate) keys: KeySet,
}

impl Control {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
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
