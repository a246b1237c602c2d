//! API keys, known by their hash.

use helmr_domain::{ApiKeyId, EnvironmentId, Moment, OrganizationId, ProjectId, Scope, Timestamp};

use crate::{Result, Store};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: ApiKeyId,
    pub organization: OrganizationId,
    /// `None`: organization-wide.
    pub bound: Option<(ProjectId, EnvironmentId)>,
    pub name: String,
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
    pub created_at: Timestamp,
}

/// Finds a key, also one that is expired or revoked: the caller tells these apart.
///
/// # Errors
/// If the database fails.
pub async fn find_api_key(store: &Store, hash: [u8; 32]) -> Result<Option<ApiKey>> {
    todo!()
}

/// Notes that a key was used. Call it at most once a minute and key.
///
/// # Errors
/// If the database fails.
pub async fn touch(store: &Store, id: ApiKeyId, at: Moment) -> Result<()> {
    todo!()
}

/// A key to make.
#[derive(Debug, Clone)]
pub struct Create {
    pub at: Moment,
    pub scope: Scope,
    pub name: String,
    pub hash: [u8; 32],
    pub scopes: Vec<String>,
    pub expires_at: Option<Timestamp>,
}

/// Makes a key bound to one environment.
///
/// # Errors
/// If the database fails.
pub async fn create(store: &Store, input: Create) -> Result<ApiKey> {
    todo!()
}
