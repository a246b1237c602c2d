//! Deployments: immutable snapshots of a task project.

use std::time::Duration;

use helmr_domain::DeploymentId;

use super::{Answer, Client, Error, IdempotencyKey};
use crate::http::deployments::{CreateDeployment, Deployment, DeploymentAnswer, PromoteDeployment};
use crate::http::page::{Page, PageQuery};

/// The server checks every schema of the project before it answers.
const CREATE_TIMEOUT: Duration = Duration::from_secs(180);

impl Client {
    /// Makes a deployment of a bundle that was uploaded.
    ///
    /// # Errors
    /// Refusals name the task, sandbox or stream with its file and export.
    pub async fn create_deployment(
        &self,
        body: &CreateDeployment,
        key: &IdempotencyKey,
    ) -> Result<Answer<DeploymentAnswer>, Error> {
        self.post(&["deployments"])
            .json(body)?
            .idempotency_key(key)
            .timeout(CREATE_TIMEOUT)
            .send()
            .await
    }

    /// # Errors
    /// Those of the server.
    pub async fn get_deployment(
        &self,
        id: DeploymentId,
    ) -> Result<Answer<DeploymentAnswer>, Error> {
        self.get(&["deployments", &id.to_string()]).send().await
    }

    /// Newest first.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn list_deployments(
        &self,
        page: &PageQuery,
    ) -> Result<Answer<Page<Deployment>>, Error> {
        self.get(&["deployments"])
            .query("limit", page.limit)
            .query("cursor", page.cursor.as_ref())
            .send()
            .await
    }

    /// Makes new sessions start from this deployment.
    ///
    /// # Errors
    /// `deployment_not_ready` while it is not deployed.
    pub async fn promote_deployment(
        &self,
        id: DeploymentId,
        key: &IdempotencyKey,
    ) -> Result<Answer<DeploymentAnswer>, Error> {
        self.post(&["deployments", &id.to_string(), "promote"])
            .json(&PromoteDeployment {})?
            .idempotency_key(key)
            .send()
            .await
    }
}
