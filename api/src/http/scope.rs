//! Where the caller acts: organization, project, environment.

use helmr_domain::{EnvironmentId, OrganizationId, ProjectId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Organization {
    #[schema(value_type = String)]
    pub id: OrganizationId,
    pub slug: String,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Project {
    #[schema(value_type = String)]
    pub id: ProjectId,
    pub slug: String,
    pub name: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Environment {
    #[schema(value_type = String)]
    pub id: EnvironmentId,
    #[schema(value_type = String)]
    pub project_id: ProjectId,
    pub slug: String,
    pub name: String,
}

/// Who the caller is and where its requests go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    pub organization: Organization,
    pub project: Project,
    pub environment: Environment,
    pub credential: Credential,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// `api_key`.
    pub kind: String,
    pub id: String,
    pub name: String,
}
