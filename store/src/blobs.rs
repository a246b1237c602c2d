//! Uploaded bytes by their SHA-256, so that nothing is uploaded twice.

use helmr_domain::{BlobId, Moment, Scope, Timestamp};

use crate::db::ToValue;
use crate::db::{Row, Tx, Value, params, sql};
use crate::{Error, Result, Store};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub id: BlobId,
    /// Lower-case hex.
    pub sha256: String,
    pub manifest: String,
    pub size_bytes: u64,
    pub created_at: Timestamp,
}

/// Under which key the bytes are sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyed {
    Environment,
    Installation,
}

#[derive(Debug, Clone)]
pub struct Put {
    pub at: Moment,
    pub scope: Scope,
    pub keyed: Keyed,
    pub sha256: String,
    pub manifest: String,
    pub size_bytes: u64,
}

sql! {
    FIND = "SELECT id, sha256, manifest, size_bytes, created_at
        FROM blobs
        WHERE organization_id = $1 AND environment_id = $2 AND sha256 = $3";

    INSERT = "INSERT INTO blobs (
            id, organization_id, project_id, environment_id, sha256, manifest, size_bytes,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (organization_id, environment_id, sha256) DO NOTHING";
}

/// Project and environment columns: empty for what all environments share.
fn owner(scope: Scope, keyed: Keyed) -> (Value, Value) {
    match keyed {
        Keyed::Environment => (scope.project.to_value(), scope.environment.to_value()),
        Keyed::Installation => ("".to_value(), "".to_value()),
    }
}

fn read(mut row: Row) -> Result<Blob> {
    Ok(Blob {
        id: row.take("id")?,
        sha256: row.take("sha256")?,
        manifest: row.take("manifest")?,
        size_bytes: row.take("size_bytes")?,
        created_at: row.take("created_at")?,
    })
}

async fn find_in(tx: &mut Tx, scope: Scope, keyed: Keyed, sha256: &str) -> Result<Option<Blob>> {
    let (_, environment) = owner(scope, keyed);
    let bound = params![scope.organization, environment, sha256];
    tx.find(&FIND, bound).await?.map(read).transpose()
}

/// Keeps a blob. The first one put is kept and answered.
///
/// # Errors
/// If the database fails.
pub async fn put(store: &Store, input: Put) -> Result<Blob> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (project, environment) = owner(input.scope, input.keyed);
                let bound = params![
                    input.at.ids().make(BlobId::new),
                    input.scope.organization,
                    project,
                    environment,
                    input.sha256,
                    input.manifest,
                    input.size_bytes,
                    input.at.now
                ];
                tx.run(&INSERT, bound).await?;
                find_in(tx, input.scope, input.keyed, &input.sha256)
                    .await?
                    .ok_or(Error::NotFound("blob"))
            })
        })
        .await
}

/// # Errors
/// If the database fails.
pub async fn find(store: &Store, scope: Scope, keyed: Keyed, sha256: &str) -> Result<Option<Blob>> {
    store
        .read((scope, keyed, sha256.to_owned()), |tx, input| {
            Box::pin(async move {
                let (scope, keyed, sha256) = input;
                find_in(tx, *scope, *keyed, sha256).await
            })
        })
        .await
}
