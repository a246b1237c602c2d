//! Workspaces: made, looked at, changed and ended.

use std::time::Duration;

use helmr_domain::WorkspaceId;

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::page::Page;
use crate::http::workspaces::{
    ArchiveWorkspace, ConnectWorkspace, ConnectionAnswer, CreateWorkspace, DeleteWorkspace,
    ForkAnswer, ForkWorkspace, ListWorkspaces, MaterializeWorkspace, RecoverWorkspace,
    StopWorkspace, UnarchiveWorkspace, UpdateWorkspace, Workspace, WorkspaceAnswer, WorkspaceState,
};

/// How long the server waits for a machine unless told.
const CONNECT_USUAL: Duration = Duration::from_secs(60);
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

impl Client {
    /// Makes a workspace from a sandbox of the promoted deployment.
    ///
    /// # Errors
    /// `external_id_taken` names the workspace that has the external id.
    pub async fn create_workspace(
        &self,
        body: &CreateWorkspace,
        key: &IdempotencyKey,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces"])
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_workspace(&self, id: WorkspaceId) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.get(&["workspaces", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_workspaces(
        &self,
        query: &ListWorkspaces,
    ) -> Result<Answer<Page<Workspace>>, Error> {
        self.get(&["workspaces"])
            .query("limit", query.limit)
            .query("cursor", query.cursor.as_ref())
            .query("state", query.state.map(WorkspaceState::as_str))
            .query("sandbox", query.sandbox.as_ref())
            .query("external_id", query.external_id.as_ref())
            .query("tag", query.tag.as_ref())
            .send()
            .await
    }

    /// Changes a workspace. What is absent stays as it is.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn update_workspace(
        &self,
        id: WorkspaceId,
        body: &UpdateWorkspace,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.patch(&["workspaces", &id.to_string()])
            .json(body)?
            .send()
            .await
    }

    /// Deletes a workspace.
    ///
    /// # Errors
    /// `workspace_busy` names the runs that have not ended, unless it is forced.
    pub async fn delete_workspace(
        &self,
        id: WorkspaceId,
        query: &DeleteWorkspace,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.delete(&["workspaces", &id.to_string()])
            .query("force", query.force)
            .send()
            .await
    }

    /// Stops a workspace's machine.
    ///
    /// # Errors
    /// `workspace_busy` names the runs that have not ended, unless it is forced.
    pub async fn stop_workspace(
        &self,
        id: WorkspaceId,
        body: &StopWorkspace,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "stop"])
            .json(body)?
            .send()
            .await
    }

    /// Asks for a workspace's machine. The answer does not wait for it.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn materialize_workspace(
        &self,
        id: WorkspaceId,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "materialize"])
            .json(&MaterializeWorkspace {})?
            .send()
            .await
    }

    /// Waits until a workspace's machine is live, and says how it is reached.
    ///
    /// # Errors
    /// `workspace_not_live` says what became of it.
    pub async fn connect_workspace(
        &self,
        id: WorkspaceId,
        body: &ConnectWorkspace,
    ) -> Result<Answer<ConnectionAnswer>, Error> {
        // The server answers by then, whatever came of it.
        let within = body.timeout.map_or(CONNECT_USUAL, |span| {
            Duration::from_micros(span.0.as_micros().unsigned_abs())
        });
        self.post(&["workspaces", &id.to_string(), "connect"])
            .timeout(within + ANSWERS_WITHIN)
            .json(body)?
            .send()
            .await
    }

    /// Makes a workspace that begins as a copy of another one.
    ///
    /// # Errors
    /// `fork_unavailable` if there is no machine that could be copied, `fork_failed` if it was not.
    pub async fn fork_workspace(
        &self,
        id: WorkspaceId,
        body: &ForkWorkspace,
        key: &IdempotencyKey,
    ) -> Result<Answer<ForkAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "fork"])
            // The server gives a live one up after a minute.
            .timeout(CONNECT_USUAL + ANSWERS_WITHIN)
            .json(body)?
            .idempotency_key(key)
            .send()
            .await
    }

    /// Archives a workspace.
    ///
    /// # Errors
    /// `workspace_busy` names the runs that have not ended, unless it is forced.
    pub async fn archive_workspace(
        &self,
        id: WorkspaceId,
        body: &ArchiveWorkspace,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "archive"])
            .json(body)?
            .send()
            .await
    }

    /// Has an archived workspace be used again.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn unarchive_workspace(
        &self,
        id: WorkspaceId,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "unarchive"])
            .json(&UnarchiveWorkspace {})?
            .send()
            .await
    }

    /// Goes on with a workspace whose files may be newer on a lost worker.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn recover_workspace(
        &self,
        id: WorkspaceId,
        body: &RecoverWorkspace,
    ) -> Result<Answer<WorkspaceAnswer>, Error> {
        self.post(&["workspaces", &id.to_string(), "recover"])
            .json(body)?
            .send()
            .await
    }
}
