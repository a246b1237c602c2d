//! The versions of a workspace's files: made, gone back to.

use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use helmr_domain::{VersionId, WorkspaceId};
use reqwest::Body;

use super::{Answer, ByteStream, Client, Error, IdempotencyKey};
use crate::http::page::{Page, PageQuery};
use crate::http::versions::{
    CaptureVersion, DiffQuery, DiffTextQuery, FileChange, ImportQuery, ImportedAnswer,
    RestoreWorkspace, RestoredAnswer,
};
use crate::http::workspaces::{Version, VersionAnswer};

/// The server waits a minute for a worker, and then says so.
const CAPTURED_WITHIN: Duration = Duration::from_secs(90);
/// A worker may have to read what changed first.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(150);

impl Client {
    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_workspace_versions(
        &self,
        id: WorkspaceId,
        page: &PageQuery,
    ) -> Result<Answer<Page<Version>>, Error> {
        self.get(&["workspaces", &id.to_string(), "versions"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_workspace_version(
        &self,
        id: WorkspaceId,
        version: VersionId,
    ) -> Result<Answer<VersionAnswer>, Error> {
        let (id, version) = (id.to_string(), version.to_string());
        self.get(&["workspaces", &id, "versions", &version])
            .send()
            .await
    }

    /// Makes a version of a workspace's files as they are now.
    ///
    /// # Errors
    /// `capture_unfinished` if it takes long: the same key again waits for the same version.
    pub async fn capture_workspace(
        &self,
        id: WorkspaceId,
        body: &CaptureVersion,
        key: &IdempotencyKey,
    ) -> Result<Answer<VersionAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "versions"])
            .json(body)?
            .idempotency_key(key)
            .timeout(CAPTURED_WITHIN)
            .send()
            .await
    }

    /// What differs between two versions, or a version and the files as they are now.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn diff_workspace(
        &self,
        id: WorkspaceId,
        query: &DiffQuery,
    ) -> Result<Answer<Page<FileChange>>, Error> {
        self.get(&["workspaces", &id.to_string(), "diff"])
            .query("from", query.from)
            .query("to", query.to)
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .timeout(LOOKED_AT_WITHIN)
            .send()
            .await
    }

    /// The same as unified text, as it comes.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn diff_workspace_text(
        &self,
        id: WorkspaceId,
        query: &DiffTextQuery,
    ) -> Result<ByteStream, Error> {
        self.get(&["workspaces", &id.to_string(), "diff", "text"])
            .query("from", query.from)
            .query("to", query.to)
            .bytes()
            .await
    }

    /// A version's files as a tar archive, as it comes.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn export_workspace_version(
        &self,
        id: WorkspaceId,
        version: VersionId,
    ) -> Result<ByteStream, Error> {
        let (id, version) = (id.to_string(), version.to_string());
        self.get(&["workspaces", &id, "versions", &version, "archive"])
            .bytes()
            .await
    }

    /// Makes a tar archive the files of a workspace that has no machine.
    ///
    /// # Errors
    /// `workspace_not_stopped`, `archive_invalid`, `archive_too_large`.
    pub async fn import_workspace_version<S, E>(
        &self,
        id: WorkspaceId,
        query: &ImportQuery,
        archive: S,
    ) -> Result<Answer<ImportedAnswer>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: std::error::Error + Send + Sync + 'static,
    {
        self.post(&["workspaces", &id.to_string(), "versions", "import"])
            .query("message", query.message.as_ref())
            .without_deadline()
            .send_stream(Body::wrap_stream(archive))
            .await
    }

    /// Makes an earlier version the current one again, as a new version.
    ///
    /// # Errors
    /// `workspace_busy` names the runs that have not ended, unless it is forced.
    pub async fn restore_workspace(
        &self,
        id: WorkspaceId,
        body: &RestoreWorkspace,
        key: &IdempotencyKey,
    ) -> Result<Answer<RestoredAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "restore"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }
}
