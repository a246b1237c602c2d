//! Who the caller is, as the server sees it.

use super::{Answer, Client, Error};
use crate::http::scope::WhoAmI;

impl Client {
    /// # Errors
    /// Those of the server.
    pub async fn who_am_i(&self) -> Result<Answer<WhoAmI>, Error> {
        self.get(&["whoami"]).send().await
    }
}
