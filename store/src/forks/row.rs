//! The rows of live forks.

use helmr_domain::{Moment, WorkspaceId};

use super::{Fork, Order, Request, State};
use crate::Result;
use crate::db::{Json, Row, Tx, params, sql};
use crate::lease::scope;

macro_rules! select {
    () => {
        "SELECT workspace_id, organization_id, project_id, environment_id, source_id,
            materialization_id, checkpoint_id, version_id, external_id, metadata, tags, state,
            failure, request_hash
        FROM forks
        "
    };
}

sql! {
    FIND = concat!(select!(), "WHERE workspace_id = $1");

    FIND_KEYED = concat!(select!(), "WHERE environment_id = $1 AND request_key = $2");

    FIND_MACHINE = concat!(select!(), "WHERE materialization_id = $1");

    REQUESTED = concat!(select!(), "WHERE source_id = $1 AND state = 'requested'
        ORDER BY workspace_id");

    INSERT = "INSERT INTO forks (
            workspace_id, organization_id, project_id, environment_id, source_id,
            materialization_id, checkpoint_id, version_id, external_id, metadata, tags, state,
            request_key, request_hash, requested_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'requested', $12, $13, $14)";

    /// A request that failed may be made again under its key.
    SAVE = "UPDATE forks
        SET state = $2, failure = $3, ended_at = $4, materialization_id = $5, checkpoint_id = $6,
            request_key = CASE WHEN $2 = 'failed' THEN NULL ELSE request_key END
        WHERE workspace_id = $1";
}

fn read(mut row: Row) -> Result<Fork> {
    let row = &mut row;
    let workspace_id = row.take("workspace_id")?;
    let scope = scope(row)?;
    let source = row.take("source_id")?;
    let materialization_id = row.take("materialization_id")?;
    let checkpoint_id = row.take("checkpoint_id")?;
    let version_id = row.take("version_id")?;
    let external_id = row.take("external_id")?;
    let metadata = row.take("metadata")?;
    let Json(tags) = row.take("tags")?;
    let state: String = row.take("state")?;
    let failure: Option<String> = row.take("failure")?;
    let state = match (state.as_str(), failure) {
        ("requested", None) => State::Requested,
        ("done", None) => State::Done,
        ("failed", Some(reason)) => State::Failed { reason },
        _ => return Err(row.corrupt("state")),
    };
    Ok(Fork {
        workspace_id,
        scope,
        source,
        materialization_id,
        checkpoint_id,
        version_id,
        external_id,
        metadata,
        tags,
        state,
        request_hash: row.take("request_hash")?,
    })
}

pub(super) async fn find(tx: &mut Tx, id: WorkspaceId) -> Result<Option<Fork>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

pub(super) async fn find_keyed(
    tx: &mut Tx,
    environment: helmr_domain::EnvironmentId,
    key: &str,
) -> Result<Option<Fork>> {
    let found = tx.find(&FIND_KEYED, params![environment, key]).await?;
    found.map(read).transpose()
}

pub(super) async fn find_machine(
    tx: &mut Tx,
    id: helmr_domain::MaterializationId,
) -> Result<Option<Fork>> {
    let found = tx.find(&FIND_MACHINE, params![id]).await?;
    found.map(read).transpose()
}

/// Those that a workspace's machine is to be copied for.
pub(super) async fn requested(tx: &mut Tx, source: WorkspaceId) -> Result<Vec<Fork>> {
    let found = tx.rows(&REQUESTED, params![source]).await?;
    found.into_iter().map(read).collect()
}

/// The same, as a worker is told.
pub(crate) async fn orders(tx: &mut Tx, source: WorkspaceId) -> Result<Vec<Order>> {
    let found = requested(tx, source).await?;
    Ok(found
        .iter()
        .map(|fork| Order {
            workspace_id: fork.workspace_id,
            materialization_id: fork.materialization_id,
            checkpoint_id: fork.checkpoint_id,
        })
        .collect())
}

/// Whether a workspace's machine is to be copied.
pub(crate) async fn wants(tx: &mut Tx, source: WorkspaceId) -> Result<bool> {
    Ok(!requested(tx, source).await?.is_empty())
}

pub(super) async fn insert(tx: &mut Tx, fork: &Fork, input: &Request) -> Result<()> {
    let (key, hash) = match &input.key {
        Some((key, hash)) => (Some(key.as_str()), Some(*hash)),
        None => (None, None),
    };
    tx.run(
        &INSERT,
        params![
            fork.workspace_id,
            fork.scope.organization,
            fork.scope.project,
            fork.scope.environment,
            fork.source,
            fork.materialization_id,
            fork.checkpoint_id,
            fork.version_id,
            fork.external_id,
            fork.metadata,
            Json(&fork.tags),
            key,
            hash,
            input.at.now
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn save(tx: &mut Tx, fork: &Fork, at: Moment) -> Result<()> {
    let (state, failure, ended_at) = match &fork.state {
        State::Requested => ("requested", None, None),
        State::Done => ("done", None, Some(at.now)),
        State::Failed { reason } => ("failed", Some(reason.as_str()), Some(at.now)),
    };
    tx.run(
        &SAVE,
        params![
            fork.workspace_id,
            state,
            failure,
            ended_at,
            fork.materialization_id,
            fork.checkpoint_id
        ],
    )
    .await
    .map(drop)
}
