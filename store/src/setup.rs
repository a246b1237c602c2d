//! The first start: what an installation begins with.

use helmr_domain::{EnvironmentId, GroupId, Moment, OrganizationId, ProjectId, Scope, Timestamp};

use crate::{Result, Store};

/// What the first start is given. Keys come wrapped, credentials hashed.
#[derive(Debug, Clone)]
pub struct FirstStart {
    pub at: Moment,
    pub organization_name: String,
    /// Of the local API key, which may do everything in `Main` / `Production`.
    pub api_key_hash: [u8; 32],
    pub api_key_name: String,
    pub api_key_scopes: Vec<String>,
    pub enrolment_hash: [u8; 32],
    /// The installation's key, for base images and runtimes, wrapped by the root key.
    pub wrapped_installation_key: Vec<u8>,
    pub wrapped_environment_key: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    pub scope: Scope,
    pub group_id: GroupId,
    pub wrapped_installation_key: Vec<u8>,
    pub created_at: Timestamp,
    /// Whether this very call made it.
    pub created: bool,
}

/// Makes organization, project `Main`, environment `Production`, group `default` and a local API key, unless they are
/// there: then nothing of the input is used.
///
/// # Errors
/// If the database fails.
pub async fn first_start(store: &Store, input: FirstStart) -> Result<Installation> {
    todo!()
}

/// # Errors
/// If the database fails.
pub async fn installation(store: &Store) -> Result<Option<Installation>> {
    todo!()
}

/// An environment with what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    pub scope: Scope,
    pub name: String,
    pub slug: String,
    pub project_slug: String,
    /// The newest one.
    pub wrapped_key: Vec<u8>,
    pub hot_window: Option<helmr_domain::Duration>,
}

/// Finds an environment by its id.
///
/// # Errors
/// If the database fails.
pub async fn environment(store: &Store, id: EnvironmentId) -> Result<Option<Environment>> {
    todo!()
}

/// Finds an environment by ids or slugs of project and environment.
///
/// # Errors
/// If the database fails.
pub async fn find_environment(
    store: &Store,
    organization: OrganizationId,
    project: &str,
    environment: &str,
) -> Result<Option<Environment>> {
    todo!()
}

/// Sets how long waits of an environment stay hot, unless a wait says otherwise.
///
/// # Errors
/// `NotFound`.
pub async fn set_hot_window(
    store: &Store,
    id: EnvironmentId,
    hot_window: Option<helmr_domain::Duration>,
) -> Result<()> {
    todo!()
}
