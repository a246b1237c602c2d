//! Which versions an environment keeps of its workspaces' files, and the end of those that it does not.
//!
//! Kept are the last few of each workspace, everything that is young, what people made by hand or went back to, and what
//! something stands on: the current version, that of a machine, that of a checkpoint. Of a deleted workspace nothing is
//! kept once it is no longer young.

use helmr_domain::{Duration, Moment, Scope, VersionId, WorkspaceId, limits};

use crate::db::{Row, Tx, params, sql};
use crate::{Error, Result, Store};

/// The rule of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Of each workspace, at the least.
    pub keep_last: u32,
    /// Everything younger.
    pub keep_for: Duration,
}

/// What to change of a rule. `Some(None)`: as is usual.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    pub keep_last: Option<Option<u32>>,
    pub keep_for: Option<Option<Duration>>,
}

/// Where a pass over all workspaces is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// Behind which workspace it goes on.
    pub up_to: Option<WorkspaceId>,
    pub dropped: u64,
    /// Every workspace was looked at.
    pub done: bool,
}

sql! {
    GET_RULE = "SELECT keep_last_versions, keep_versions_for_us
        FROM environments
        WHERE id = $1 AND organization_id = $2 AND project_id = $3";

    SET_RULE = "UPDATE environments
        SET keep_last_versions = $2, keep_versions_for_us = $3
        WHERE id = $1";

    /// Workspaces that have versions, a few at a time.
    NEXT = "SELECT s.id
        FROM workspaces s
        WHERE s.id > $1
            AND EXISTS (
                SELECT 1
                FROM versions v
                WHERE v.workspace_id = s.id
            )
        ORDER BY s.id
        LIMIT $2";

    /// `$5`: how many are kept unless the environment says otherwise, and `$4`: since when.
    EXPIRED = "WITH placed AS (
            SELECT v.id, v.workspace_id, v.kind, v.created_at,
                ROW_NUMBER() OVER (PARTITION BY v.workspace_id ORDER BY v.id DESC) AS place
            FROM versions v
            WHERE v.workspace_id > $1 AND v.workspace_id <= $2
        )
        SELECT p.id, p.workspace_id
        FROM placed p
        JOIN workspaces s ON s.id = p.workspace_id
        JOIN environments e ON e.id = s.environment_id
        WHERE p.created_at < COALESCE($3 - e.keep_versions_for_us, $4)
            AND (
                s.state = 'deleted'
                OR (p.kind = 'auto' AND p.place > COALESCE(e.keep_last_versions, $5))
            )
            -- a deleted workspace may still have a machine that ends
            AND (s.current_version_id IS NULL OR s.current_version_id <> p.id OR s.state = 'deleted')
            AND NOT EXISTS (
                SELECT 1
                FROM materializations m
                WHERE m.workspace_id = p.workspace_id AND m.ended_at IS NULL
                    AND (m.base_version_id = p.id OR s.state = 'deleted')
            )
            AND NOT EXISTS (
                SELECT 1
                FROM checkpoints c
                WHERE c.version_id = p.id AND c.dropped_at IS NULL
            )
        ORDER BY p.id
        LIMIT $6";

    FORGET_CHECKPOINTS = "DELETE FROM checkpoints
        WHERE version_id = $1 AND dropped_at IS NOT NULL";

    FORGET_CURRENT = "UPDATE workspaces
        SET current_version_id = NULL
        WHERE id = $2 AND current_version_id = $1";

    DROP = "DELETE FROM versions
        WHERE id = $1";

    FORGET_CAPTURES = "DELETE FROM captures
        WHERE failure IS NOT NULL AND created_at < $1";
}

/// An environment's rule.
///
/// # Errors
/// `NotFound`.
pub async fn rule(store: &Store, scope: Scope) -> Result<Rule> {
    store
        .read(scope, |tx, scope| {
            Box::pin(async move { Ok(read(tx, *scope).await?.1) })
        })
        .await
}

/// Changes an environment's rule. What is absent stays as it is.
///
/// # Errors
/// `NotFound`.
pub async fn set_rule(store: &Store, scope: Scope, change: Change) -> Result<Rule> {
    store
        .write((scope, change), |tx, input| {
            let (scope, change) = *input;
            Box::pin(async move {
                let ((keep_last, keep_for), _) = read(tx, scope).await?;
                let bound = params![
                    scope.environment,
                    change.keep_last.unwrap_or(keep_last),
                    change.keep_for.unwrap_or(keep_for)
                ];
                tx.run(&SET_RULE, bound).await?;
                Ok(read(tx, scope).await?.1)
            })
        })
        .await
}

type Said = (Option<u32>, Option<Duration>);

/// What was said, and what holds.
async fn read(tx: &mut Tx, scope: Scope) -> Result<(Said, Rule)> {
    let bound = params![scope.environment, scope.organization, scope.project];
    let mut row: Row = tx
        .find(&GET_RULE, bound)
        .await?
        .ok_or(Error::NotFound("environment"))?;
    let keep_last: Option<u32> = row.take("keep_last_versions")?;
    let keep_for: Option<Duration> = row.take("keep_versions_for_us")?;
    let rule = Rule {
        keep_last: keep_last.unwrap_or(limits::KEEP_LAST_VERSIONS),
        keep_for: keep_for.unwrap_or(limits::KEEP_VERSIONS_FOR),
    };
    Ok(((keep_last, keep_for), rule))
}

/// Drops versions that no rule keeps, in the few workspaces behind `after`. Call it again from where it got to.
///
/// # Errors
/// If the database fails.
pub async fn drop_expired(
    store: &Store,
    after: Option<WorkspaceId>,
    (workspaces, versions): (u32, u32),
    at: Moment,
) -> Result<Passed> {
    store
        .write((after, workspaces, versions, at), |tx, input| {
            let (after, workspaces, versions, at) = *input;
            Box::pin(drop_in(tx, after, (workspaces, versions), at))
        })
        .await
}

async fn drop_in(
    tx: &mut Tx,
    after: Option<WorkspaceId>,
    (workspaces, versions): (u32, u32),
    at: Moment,
) -> Result<Passed> {
    let begin = after.map(|id| id.to_string()).unwrap_or_default();
    let mut found = tx.rows(&NEXT, params![begin, workspaces]).await?;
    let Some(mut last) = found.pop() else {
        let old = at.now.before(limits::IDEMPOTENCY_KEPT);
        tx.run(&FORGET_CAPTURES, params![old]).await?;
        return Ok(Passed {
            up_to: after,
            dropped: 0,
            done: true,
        });
    };
    let end: WorkspaceId = last.take("id")?;
    let bound = params![
        begin,
        end,
        at.now,
        at.now.before(limits::KEEP_VERSIONS_FOR),
        limits::KEEP_LAST_VERSIONS,
        versions
    ];
    let mut dropped = 0;
    for mut row in tx.rows(&EXPIRED, bound).await? {
        let id: VersionId = row.take("id")?;
        let workspace: WorkspaceId = row.take("workspace_id")?;
        tx.run(&FORGET_CHECKPOINTS, params![id]).await?;
        tx.run(&FORGET_CURRENT, params![id, workspace]).await?;
        dropped += tx.run(&DROP, params![id]).await?;
    }
    Ok(Passed {
        // More may be left in these.
        up_to: if dropped >= u64::from(versions) {
            after
        } else {
            Some(end)
        },
        dropped,
        done: false,
    })
}
