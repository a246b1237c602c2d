//! API keys, known by their hash.

use helmr_domain::{ApiKeyId, EnvironmentId, Moment, OrganizationId, ProjectId, Scope, Timestamp};

use crate::db::{Json, Row, Tx, params, sql};
use crate::{Error, Result, Store};

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

macro_rules! select {
    () => {
        "SELECT id, organization_id, project_id, environment_id, name, scopes, expires_at,
            revoked_at, last_used_at, created_at
        FROM api_keys
        "
    };
}

sql! {
    FIND = concat!(select!(), "WHERE hash = $1");

    GET = concat!(select!(), "WHERE id = $1");

    TOUCH = "UPDATE api_keys
        SET last_used_at = $2
        WHERE id = $1";

    INSERT = "INSERT INTO api_keys (
            id, organization_id, project_id, environment_id, name, hash, scopes, expires_at,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
}

fn read(mut row: Row) -> Result<ApiKey> {
    let row = &mut row;
    let id = row.take("id")?;
    let organization = row.take("organization_id")?;
    let project: Option<ProjectId> = row.take("project_id")?;
    let environment: Option<EnvironmentId> = row.take("environment_id")?;
    let name = row.take("name")?;
    let Json(scopes) = row.take("scopes")?;
    Ok(ApiKey {
        id,
        organization,
        bound: project.zip(environment),
        name,
        scopes,
        expires_at: row.take("expires_at")?,
        revoked_at: row.take("revoked_at")?,
        last_used_at: row.take("last_used_at")?,
        created_at: row.take("created_at")?,
    })
}

/// Finds a key, also one that is expired or revoked: the caller tells these apart.
///
/// # Errors
/// If the database fails.
pub async fn find_api_key(store: &Store, hash: [u8; 32]) -> Result<Option<ApiKey>> {
    store
        .read(hash, |tx, hash| {
            Box::pin(async move {
                let found = tx.find(&FIND, params![*hash]).await?;
                found.map(read).transpose()
            })
        })
        .await
}

/// Notes that a key was used. Call it at most once a minute and key.
///
/// # Errors
/// If the database fails.
pub async fn touch(store: &Store, id: ApiKeyId, at: Moment) -> Result<()> {
    store
        .write((id, at), |tx, input| {
            let (id, at) = *input;
            Box::pin(async move { tx.run(&TOUCH, params![id, at.now]).await.map(drop) })
        })
        .await
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
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<ApiKey> {
    let id = input.at.ids().make(ApiKeyId::new);
    let bound = params![
        id,
        input.scope.organization,
        input.scope.project,
        input.scope.environment,
        input.name,
        input.hash,
        Json(&input.scopes),
        input.expires_at,
        input.at.now
    ];
    tx.run(&INSERT, bound).await?;
    let found = tx.find(&GET, params![id]).await?;
    found
        .map(read)
        .transpose()?
        .ok_or(Error::NotFound("API key"))
}
