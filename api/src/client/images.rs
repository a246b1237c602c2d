//! Base images of sandboxes.

use std::time::Duration;

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::images::{Image, ImageAnswer, ImportImage};
use crate::http::page::{Page, PageQuery};

/// A worker unpacks the archive and makes a filesystem of it.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

impl Client {
    /// Turns an uploaded archive into an image of this name.
    ///
    /// # Errors
    /// `image_invalid` if the archive is none of the known forms; `worker_unavailable` if nobody can convert it now.
    pub async fn import_image(
        &self,
        body: &ImportImage,
        key: &IdempotencyKey,
    ) -> Result<Answer<ImageAnswer>, Error> {
        self.post(&["images"])
            .json(body)?
            .idempotency_key(key)
            .timeout(IMPORT_TIMEOUT)
            .send()
            .await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_images(&self, page: &PageQuery) -> Result<Answer<Page<Image>>, Error> {
        self.get(&["images"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }
}
