//! Seeds: what an image holds at a mount path, captured once for each environment.

use helmr_domain::{Moment, Scope};

use crate::db::{Tx, params, sql};
use crate::worker::Fence;
use crate::{Result, Store, lease};

sql! {
    FIND = "SELECT manifest, size_bytes
        FROM seeds
        WHERE environment_id = $1 AND image_digest = $2 AND mount_path = $3";

    PUT = "INSERT INTO seeds (
            environment_id, organization_id, project_id, image_digest, mount_path, manifest,
            size_bytes, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (environment_id, image_digest, mount_path) DO NOTHING";
}

async fn find(
    tx: &mut Tx,
    scope: Scope,
    image_digest: &str,
    mount_path: &str,
) -> Result<Option<String>> {
    let found = seed(tx, scope, image_digest, mount_path).await?;
    Ok(found.map(|(manifest, _)| manifest))
}

/// Manifest and size of a seed, if it was captured before.
pub(crate) async fn seed(
    tx: &mut Tx,
    scope: Scope,
    image_digest: &str,
    mount_path: &str,
) -> Result<Option<(String, u64)>> {
    let bound = params![scope.environment, image_digest, mount_path];
    let found = tx.find(&FIND, bound).await?;
    found
        .map(|mut row| Ok((row.take("manifest")?, row.take("size_bytes")?)))
        .transpose()
}

/// The manifest of a seed, if it was captured before.
///
/// # Errors
/// `Stale`.
pub async fn find_seed(
    store: &Store,
    fence: Fence,
    image_digest: &str,
    mount_path: &str,
) -> Result<Option<String>> {
    let input = (fence, image_digest.to_owned(), mount_path.to_owned());
    store
        .read(input, |tx, (fence, image_digest, mount_path)| {
            Box::pin(async move {
                let leased = lease::check(tx, *fence).await?;
                find(tx, leased.scope, image_digest, mount_path).await
            })
        })
        .await
}

#[derive(Debug, Clone)]
pub struct PutSeed {
    pub at: Moment,
    pub fence: Fence,
    pub image_digest: String,
    pub mount_path: String,
    pub manifest: String,
    pub size_bytes: u64,
}

/// Keeps a seed. The first one put is kept and answered.
///
/// # Errors
/// `Stale`.
pub async fn put_seed(store: &Store, input: PutSeed) -> Result<String> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let scope = lease::check(tx, input.fence).await?.scope;
                let bound = params![
                    scope.environment,
                    scope.organization,
                    scope.project,
                    input.image_digest,
                    input.mount_path,
                    input.manifest,
                    input.size_bytes,
                    input.at.now
                ];
                tx.run(&PUT, bound).await?;
                let kept = find(tx, scope, &input.image_digest, &input.mount_path).await?;
                Ok(kept.unwrap_or_else(|| input.manifest.clone()))
            })
        })
        .await
}
