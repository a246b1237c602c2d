//! The artifact store, and which versions are kept.

use std::time::Duration;

use super::{Answer, Client, Error};
use crate::http::storage::{RetentionAnswer, StorageAnswer, UpdateRetention};

/// A round reads every object's entry once.
const SWEPT_WITHIN: Duration = Duration::from_secs(3_600);

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn get_storage(&self) -> Result<Answer<StorageAnswer>, Error> {
        self.get(&["storage"]).send().await
    }

    /// Runs a round of garbage collection, and waits for it.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn sweep_storage(&self) -> Result<Answer<StorageAnswer>, Error> {
        self.post(&["storage", "sweep"])
            .timeout(SWEPT_WITHIN)
            .send()
            .await
    }

    /// `environment` is its id or slug.
    ///
    /// # Errors
    /// `scope_mismatch` for another one than the key is bound to.
    pub async fn get_retention(&self, environment: &str) -> Result<Answer<RetentionAnswer>, Error> {
        self.get(&["environments", environment, "retention"])
            .send()
            .await
    }

    /// Changes which versions an environment keeps.
    ///
    /// # Errors
    /// `scope_mismatch`, `limit_exceeded`.
    pub async fn update_retention(
        &self,
        environment: &str,
        body: &UpdateRetention,
    ) -> Result<Answer<RetentionAnswer>, Error> {
        self.patch(&["environments", environment, "retention"])
            .json(body)?
            .send()
            .await
    }
}
