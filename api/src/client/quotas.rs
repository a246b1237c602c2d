//! What the environment may hold.

use super::{Answer, Client, Error};
use crate::http::quotas::{QuotasAnswer, UpdateQuotas};

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn get_quotas(&self) -> Result<Answer<QuotasAnswer>, Error> {
        self.get(&["quotas"]).send().await
    }

    /// Changes quotas. What is absent stays as it is.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn update_quotas(&self, body: &UpdateQuotas) -> Result<Answer<QuotasAnswer>, Error> {
        self.patch(&["quotas"]).json(body)?.send().await
    }
}
