//! Workspaces: made, looked at, changed and ended.

use helmr_domain::{VersionId, WorkspaceId};

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::page::{Page, PageQuery};
use crate::http::workspaces::{
    CreateWorkspace, DeleteWorkspace, ListWorkspaces, RecoverWorkspace, StopWorkspace,
    UpdateWorkspace, Version, VersionAnswer, Workspace, WorkspaceAnswer, WorkspaceState,
};

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
}
