//! Bytes on their way to the server, named by their SHA-256.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use reqwest::Body;

use super::{Answer, Client, Error};
use crate::http::uploads::{MissingUploads, MissingUploadsAnswer, UploadAnswer, UploadKind};

/// Images are large and lines slow.
const TIMEOUT: Duration = Duration::from_secs(6 * 60 * 60);

impl Client {
    /// Asks which of these the server does not have.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn missing_uploads(
        &self,
        body: &MissingUploads,
    ) -> Result<Answer<MissingUploadsAnswer>, Error> {
        self.post(&["uploads", "missing"]).json(body)?.send().await
    }

    /// Sends bytes as they come. The server has them when this returns.
    ///
    /// # Errors
    /// `upload_mismatch` if the bytes have another sum; a failure of the source ends the connection.
    pub async fn upload<S, E>(
        &self,
        sha256: &str,
        kind: UploadKind,
        bytes: S,
    ) -> Result<Answer<UploadAnswer>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        let kind = match kind {
            UploadKind::Bundle => "bundle",
            UploadKind::Image => "image",
        };
        self.put(&["uploads", sha256])
            .query("kind", Some(kind))
            .timeout(TIMEOUT)
            .send_stream(Body::wrap_stream(bytes))
            .await
    }
}
