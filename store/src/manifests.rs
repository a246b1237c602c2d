//! Which manifests the database names, so that garbage collection keeps them, and what its rounds found.
//!
//! A column that names a manifest is listed here; a test reads the schema and refuses one that is not.

use helmr_domain::machine::Spec;
use helmr_domain::{EnvironmentId, Moment, Timestamp};
use serde_json::Value;

use crate::db::{Json, Row, Tx, params, sql};
use crate::{Result, Store};

/// Columns that name manifests, as they are read by [`named`].
pub const COLUMNS: &[(&str, &str)] = &[
    ("blobs", "manifest"),
    ("deployments", "bundle_manifest"),
    ("images", "manifest"),
    ("seeds", "manifest"),
    ("versions", "manifest"),
];

/// Columns in whose JSON an image's manifest stands.
pub const SPECS: &[(&str, &str)] = &[
    ("deployment_sandboxes", "spec"),
    ("materializations", "spec"),
];

/// A manifest that is named, and under whose key it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Named {
    /// `None`: the installation's.
    pub environment: Option<EnvironmentId>,
    pub manifest: String,
}

/// A round of garbage collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    pub started_at: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub failure: Option<String>,
    pub figures: Option<Value>,
}

sql! {
    OF_ENVIRONMENTS = "SELECT environment_id, manifest
        FROM versions
        UNION
        SELECT environment_id, manifest
        FROM seeds
        UNION
        SELECT environment_id, manifest
        FROM blobs
        UNION
        SELECT environment_id, bundle_manifest
        FROM deployments";

    OF_IMAGES = "SELECT manifest
        FROM images";

    OF_SPECS = "SELECT spec
        FROM deployment_sandboxes
        UNION
        SELECT spec
        FROM materializations
        WHERE ended_at IS NULL";

    BEGIN = "INSERT INTO sweeps (started_at)
        VALUES ($1)
        ON CONFLICT (started_at) DO NOTHING";

    END = "UPDATE sweeps
        SET finished_at = $2, failure = $3, figures = $4
        WHERE started_at = $1";

    FORGET = "DELETE FROM sweeps
        WHERE started_at < $1";

    LAST = "SELECT started_at, finished_at, failure, figures
        FROM sweeps
        WHERE finished_at IS NOT NULL
        ORDER BY started_at DESC
        LIMIT $1";
}

/// Every manifest that the database names, as of one moment.
///
/// # Errors
/// If the database fails.
pub async fn named(store: &Store) -> Result<Vec<Named>> {
    store.read((), |tx, ()| Box::pin(named_in(tx))).await
}

async fn named_in(tx: &mut Tx) -> Result<Vec<Named>> {
    let mut named = Vec::new();
    for mut row in tx.rows(&OF_ENVIRONMENTS, &[]).await? {
        let environment: String = row.take("environment_id")?;
        named.push(Named {
            // Empty for what all environments share.
            environment: if environment.is_empty() {
                None
            } else {
                Some(
                    environment
                        .parse()
                        .map_err(|_| row.corrupt("environment_id"))?,
                )
            },
            manifest: row.take("manifest")?,
        });
    }
    for mut row in tx.rows(&OF_IMAGES, &[]).await? {
        named.push(Named {
            environment: None,
            manifest: row.take("manifest")?,
        });
    }
    for mut row in tx.rows(&OF_SPECS, &[]).await? {
        let Json(spec): Json<Spec> = row.take("spec")?;
        named.push(Named {
            environment: None,
            manifest: spec.image_manifest,
        });
    }
    Ok(named)
}

/// Notes that a round has begun.
///
/// # Errors
/// If the database fails.
pub async fn begin_sweep(store: &Store, at: Moment) -> Result<()> {
    store
        .write(at, |tx, at| {
            Box::pin(async move { tx.run(&BEGIN, params![at.now]).await.map(drop) })
        })
        .await
}

/// Notes what a round found, and forgets those from before `kept_since`.
///
/// # Errors
/// If the database fails.
pub async fn end_sweep(store: &Store, sweep: Sweep, kept_since: Timestamp) -> Result<()> {
    store
        .write((sweep, kept_since), |tx, (sweep, kept_since)| {
            Box::pin(async move {
                let bound = params![
                    sweep.started_at,
                    sweep.finished_at,
                    sweep.failure,
                    sweep.figures
                ];
                tx.run(&END, bound).await?;
                tx.run(&FORGET, params![*kept_since]).await.map(drop)
            })
        })
        .await
}

/// The last rounds that have ended, newest first.
///
/// # Errors
/// If the database fails.
pub async fn last_sweeps(store: &Store, limit: u32) -> Result<Vec<Sweep>> {
    store
        .read(limit, |tx, limit| {
            Box::pin(async move {
                let found = tx.rows(&LAST, params![*limit]).await?;
                found.into_iter().map(read).collect()
            })
        })
        .await
}

fn read(mut row: Row) -> Result<Sweep> {
    Ok(Sweep {
        started_at: row.take("started_at")?,
        finished_at: row.take("finished_at")?,
        failure: row.take("failure")?,
        figures: row.take("figures")?,
    })
}
