//! What an environment may hold, and what it holds.
//!
//! Asked when new work comes: nothing that captures files or sets a machine aside looks here.

use std::collections::HashMap;

use helmr_domain::placement::Demand;
use helmr_domain::{EnvironmentId, Refusal, Scope, WorkspaceId};

pub use helmr_domain::quota::Quota;

use crate::db::{Tx, params, sql};
use crate::{Error, Hint, Result, Store};

sql! {
    LIMITS = "SELECT quota_workspaces, quota_version_bytes, quota_machines
        FROM environments
        WHERE id = $1";

    SET = "UPDATE environments
        SET quota_workspaces = $2, quota_version_bytes = $3, quota_machines = $4
        WHERE id = $1";

    WORKSPACES = "SELECT COUNT(*) AS used
        FROM workspaces
        WHERE environment_id = $1 AND state <> 'deleted'";

    VERSION_BYTES = "SELECT CAST(COALESCE(SUM(changed_bytes), 0) AS BIGINT) AS used
        FROM versions
        WHERE environment_id = $1";

    MACHINES = "SELECT COUNT(*) AS used
        FROM materializations
        WHERE environment_id = $1 AND ended_at IS NULL AND state <> 'parked'";

    ENVIRONMENT_OF = "SELECT environment_id
        FROM workspaces
        WHERE id = $1";
}

/// Numbers, one for each quota.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PerQuota<T> {
    pub workspaces: T,
    pub version_bytes: T,
    pub machines: T,
}

/// What an environment may hold; `None`: as much as comes.
pub type Limits = PerQuota<Option<u64>>;

/// Limits, and what is held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    pub limits: Limits,
    pub used: PerQuota<u64>,
}

/// What to change: `None` stays as it is.
pub type Change = PerQuota<Option<Option<u64>>>;

/// # Errors
/// `NotFound`.
pub async fn get(store: &Store, scope: Scope) -> Result<Quotas> {
    store
        .read(scope, |tx, scope| Box::pin(read(tx, scope.environment)))
        .await
}

/// Changes the limits. What is held already stays, also over a limit.
///
/// # Errors
/// `NotFound`.
pub async fn set(store: &Store, scope: Scope, change: Change) -> Result<Quotas> {
    store
        .write((scope.environment, change), |tx, input| {
            let (environment, change) = *input;
            Box::pin(async move {
                let kept = limits(tx, environment).await?;
                let bound = params![
                    environment,
                    change.workspaces.unwrap_or(kept.workspaces),
                    change.version_bytes.unwrap_or(kept.version_bytes),
                    change.machines.unwrap_or(kept.machines)
                ];
                tx.run(&SET, bound).await?;
                // What was held back may go on.
                tx.hint(Hint::Queue);
                read(tx, environment).await
            })
        })
        .await
}

async fn read(tx: &mut Tx, environment: EnvironmentId) -> Result<Quotas> {
    Ok(Quotas {
        limits: limits(tx, environment).await?,
        used: PerQuota {
            workspaces: used(tx, Quota::Workspaces, environment).await?,
            version_bytes: used(tx, Quota::VersionBytes, environment).await?,
            machines: used(tx, Quota::Machines, environment).await?,
        },
    })
}

async fn limits(tx: &mut Tx, environment: EnvironmentId) -> Result<Limits> {
    let mut row = tx
        .find(&LIMITS, params![environment])
        .await?
        .ok_or(Error::NotFound("environment"))?;
    Ok(Limits {
        workspaces: row.take("quota_workspaces")?,
        version_bytes: row.take("quota_version_bytes")?,
        machines: row.take("quota_machines")?,
    })
}

async fn used(tx: &mut Tx, quota: Quota, environment: EnvironmentId) -> Result<u64> {
    let statement = match quota {
        Quota::Workspaces => &WORKSPACES,
        Quota::VersionBytes => &VERSION_BYTES,
        Quota::Machines => &MACHINES,
    };
    tx.one(statement, params![environment]).await?.take("used")
}

async fn check(
    tx: &mut Tx,
    quota: Quota,
    limit: Option<u64>,
    environment: EnvironmentId,
) -> Result<()> {
    if limit.is_none() {
        return Ok(());
    }
    let used = used(tx, quota, environment).await?;
    Ok(quota.check(limit, used)?)
}

/// Lets a new workspace in, or not.
///
/// # Errors
/// `Refused(QuotaExceeded)`.
pub(crate) async fn check_workspace(tx: &mut Tx, scope: Scope) -> Result<()> {
    let limits = limits(tx, scope.environment).await?;
    check(tx, Quota::Workspaces, limits.workspaces, scope.environment).await?;
    check(
        tx,
        Quota::VersionBytes,
        limits.version_bytes,
        scope.environment,
    )
    .await
}

/// Lets new work into a workspace that is there, or not: it would add to its versions.
///
/// # Errors
/// `Refused(QuotaExceeded)`.
pub(crate) async fn check_work(tx: &mut Tx, scope: Scope) -> Result<()> {
    let limits = limits(tx, scope.environment).await?;
    check(
        tx,
        Quota::VersionBytes,
        limits.version_bytes,
        scope.environment,
    )
    .await
}

/// Takes those new machines out for which their environments have no room, and says why. Wakes are no new work.
pub(crate) async fn hold_back(
    tx: &mut Tx,
    demands: Vec<Demand>,
) -> Result<(Vec<Demand>, Vec<(WorkspaceId, Refusal)>)> {
    let mut machines: HashMap<EnvironmentId, (Option<u64>, u64)> = HashMap::new();
    let (mut let_in, mut held) = (Vec::with_capacity(demands.len()), Vec::new());
    for demand in demands {
        // Only a parked machine has a driver already.
        if demand.driver.is_some() {
            let_in.push(demand);
            continue;
        }
        let bound = params![demand.workspace];
        let environment: EnvironmentId = tx
            .one(&ENVIRONMENT_OF, bound)
            .await?
            .take("environment_id")?;
        let (limit, used) = match machines.get(&environment) {
            Some(known) => *known,
            None => {
                let limit = limits(tx, environment).await?.machines;
                let used = match limit {
                    Some(_) => used(tx, Quota::Machines, environment).await?,
                    None => 0,
                };
                (limit, used)
            }
        };
        match Quota::Machines.check(limit, used) {
            Ok(()) => {
                machines.insert(environment, (limit, used.saturating_add(1)));
                let_in.push(demand);
            }
            Err(refusal) => {
                machines.insert(environment, (limit, used));
                held.push((demand.workspace, refusal));
            }
        }
    }
    Ok((let_in, held))
}
