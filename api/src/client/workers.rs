//! Workers of the installation.

use super::{Answer, Client, Error};
use crate::http::page::{Page, PageQuery};
use crate::http::workers::Worker;

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn list_workers(&self, page: &PageQuery) -> Result<Answer<Page<Worker>>, Error> {
        self.get(&["workers"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }
}
