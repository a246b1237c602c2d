//! The rows of machines and checkpoints.

use helmr_domain::machine::{Spec, State};
use helmr_domain::{
    CheckpointId, Epoch, MaterializationId, Moment, Scope, Timestamp, VersionId, WorkerId,
    WorkspaceId,
};
use serde_json::Value as JsonValue;

use crate::Result;
use crate::db::{Json, Row, Tx, params, sql};
use crate::forks::Names;
use crate::lease::scope;

#[derive(Debug, Clone)]
pub(crate) struct MachineRow {
    pub(crate) id: MaterializationId,
    pub(crate) scope: Scope,
    pub(crate) workspace: WorkspaceId,
    pub(crate) state: State,
    /// Of the last lease, which may be over.
    pub(crate) worker: WorkerId,
    pub(crate) epoch: Epoch,
    pub(crate) driver: String,
    pub(crate) spec: Spec,
    pub(crate) base_version: Option<VersionId>,
    /// Whether its files may be newer than the last version: something in it or, while it is parked, somebody else may
    /// have written to them.
    pub(crate) touched: bool,
    /// Told to make room.
    pub(crate) leaving: bool,
    /// Told to end for good: nothing joins it any more.
    pub(crate) ending: bool,
    /// Its workspace went on from other files.
    pub(crate) superseded: bool,
    pub(crate) failed_wakes: u32,
    pub(crate) not_before: Timestamp,
    pub(crate) failure: Option<JsonValue>,
    pub(crate) live_at: Option<Timestamp>,
    pub(crate) parked_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
}

impl MachineRow {
    pub(crate) const fn is_parked(&self) -> bool {
        matches!(self.state, State::Parked { .. })
    }

    /// Whether it is over and may have left files that nobody captured.
    pub(crate) const fn left_newer_files(&self) -> bool {
        matches!(self.state, State::Lost | State::Failed) && self.touched
    }
}

macro_rules! select {
    () => {
        "SELECT id, organization_id, project_id, environment_id, workspace_id, state,
            checkpoint_id, worker_id, epoch, driver, spec, base_version_id, touched, leaving,
            ending, superseded, failed_wakes, not_before_at, failure, live_at, parked_at, ended_at
        FROM materializations
        "
    };
}

sql! {
    FIND = concat!(select!(), "WHERE id = $1");

    CURRENT = concat!(select!(), "WHERE workspace_id = $1 AND ended_at IS NULL");

    IS_LIVE = "SELECT 1
        FROM materializations
        WHERE workspace_id = $1 AND ended_at IS NULL AND state IN ('live', 'parking', 'stopping')";

    INSERT = "INSERT INTO materializations (
            id, organization_id, project_id, environment_id, workspace_id, state, worker_id,
            epoch, driver, spec, cpu_millis, memory_mib, protocol, base_version_id, touched,
            leaving, failed_wakes, not_before_at, requested_at
        )
        VALUES ($1, $2, $3, $4, $5, 'preparing', $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0, 0, $14)";

    /// On the disk of the same worker, which nobody has leased it from.
    INSERT_PARKED = "INSERT INTO materializations (
            id, organization_id, project_id, environment_id, workspace_id, state, checkpoint_id,
            worker_id, epoch, driver, spec, cpu_millis, memory_mib, base_version_id, protocol,
            touched, leaving, failed_wakes, not_before_at, requested_at, parked_at
        )
        SELECT $2, organization_id, project_id, environment_id, $3, 'parked', $4, worker_id, 0,
            driver, spec, cpu_millis, memory_mib, $5, protocol, 0, 0, 0, 0, $6, $6
        FROM materializations
        WHERE id = $1";

    FIND_NAMES = "SELECT names
        FROM materializations
        WHERE id = $1";

    SET_NAMES = "UPDATE materializations
        SET names = $2
        WHERE id = $1";

    SAVE = "UPDATE materializations
        SET state = $2, checkpoint_id = $3, worker_id = $4, epoch = $5, leaving = $6,
            failed_wakes = $7, not_before_at = $8, failure = $9, live_at = $10, parked_at = $11,
            ended_at = $12
        WHERE id = $1";

    TOUCH = "UPDATE materializations
        SET touched = 1
        WHERE workspace_id = $1 AND ended_at IS NULL AND touched = 0";

    SUPERSEDE = "UPDATE materializations
        SET superseded = 1
        WHERE workspace_id = $1 AND ended_at IS NULL";

    SET_TOUCHED = "UPDATE materializations
        SET touched = $2
        WHERE id = $1 AND touched <> $2";

    SET_ENDING = "UPDATE materializations
        SET ending = 1
        WHERE id = $1";

    INSERT_CHECKPOINT = "INSERT INTO checkpoints (
            id, organization_id, project_id, environment_id, workspace_id, materialization_id,
            version_id, worker_id, epoch, runtime_identity, size_bytes, timings, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

    DROP_CHECKPOINT = "UPDATE checkpoints
        SET dropped_at = $2
        WHERE id = $1 AND dropped_at IS NULL";
}

fn read(mut row: Row) -> Result<MachineRow> {
    let row = &mut row;
    let id = row.take("id")?;
    let scope = scope(row)?;
    let workspace = row.take("workspace_id")?;
    let state: String = row.take("state")?;
    let checkpoint: Option<CheckpointId> = row.take("checkpoint_id")?;
    let state = match (state.as_str(), checkpoint) {
        ("requested", None) => State::Requested,
        ("preparing", None) => State::Preparing,
        ("live", None) => State::Live,
        ("parking", None) => State::Parking,
        ("parked", Some(checkpoint)) => State::Parked { checkpoint },
        ("resuming", Some(checkpoint)) => State::Resuming { checkpoint },
        ("stopping", None) => State::Stopping,
        ("stopped", None) => State::Stopped,
        ("lost", None) => State::Lost,
        ("failed", None) => State::Failed,
        _ => return Err(row.corrupt("state")),
    };
    let worker = row.take("worker_id")?;
    let epoch = row.take("epoch")?;
    let driver = row.take("driver")?;
    let Json(spec) = row.take("spec")?;
    Ok(MachineRow {
        id,
        scope,
        workspace,
        state,
        worker,
        epoch,
        driver,
        spec,
        base_version: row.take("base_version_id")?,
        touched: row.take("touched")?,
        leaving: row.take("leaving")?,
        ending: row.take("ending")?,
        superseded: row.take("superseded")?,
        failed_wakes: row.take("failed_wakes")?,
        not_before: row.take("not_before_at")?,
        failure: row.take("failure")?,
        live_at: row.take("live_at")?,
        parked_at: row.take("parked_at")?,
        ended_at: row.take("ended_at")?,
    })
}

pub(crate) async fn find(tx: &mut Tx, id: MaterializationId) -> Result<Option<MachineRow>> {
    tx.find(&FIND, params![id]).await?.map(read).transpose()
}

/// The machine of a workspace that is not over.
pub(crate) async fn current(tx: &mut Tx, workspace: WorkspaceId) -> Result<Option<MachineRow>> {
    let found = tx.find(&CURRENT, params![workspace]).await?;
    found.map(read).transpose()
}

/// Whether a workspace has a machine in which processes can hear of something now.
pub(crate) async fn is_live(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool> {
    Ok(tx.find(&IS_LIVE, params![workspace]).await?.is_some())
}

pub(crate) struct NewMachine<'a> {
    pub(crate) id: MaterializationId,
    pub(crate) scope: Scope,
    pub(crate) workspace: WorkspaceId,
    pub(crate) worker: WorkerId,
    pub(crate) epoch: Epoch,
    pub(crate) driver: &'a str,
    pub(crate) spec: &'a Spec,
    pub(crate) protocol: u32,
    pub(crate) base_version: Option<VersionId>,
}

/// Mebibytes, rounded up.
pub(crate) const fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1024 * 1024)
}

/// Writes a machine that a worker is given, preparing.
pub(crate) async fn insert(tx: &mut Tx, new: NewMachine<'_>, at: Moment) -> Result<()> {
    tx.run(
        &INSERT,
        params![
            new.id,
            new.scope.organization,
            new.scope.project,
            new.scope.environment,
            new.workspace,
            new.worker,
            new.epoch,
            new.driver,
            Json(new.spec),
            new.spec.cpu_millis,
            mebibytes(new.spec.memory_bytes),
            new.protocol,
            new.base_version,
            at.now
        ],
    )
    .await
    .map(drop)
}

pub(crate) async fn save(tx: &mut Tx, row: &MachineRow) -> Result<()> {
    let checkpoint = match row.state {
        State::Parked { checkpoint } | State::Resuming { checkpoint } => Some(checkpoint),
        State::Requested
        | State::Preparing
        | State::Live
        | State::Parking
        | State::Stopping
        | State::Stopped
        | State::Lost
        | State::Failed => None,
    };
    tx.run(
        &SAVE,
        params![
            row.id,
            row.state.as_str(),
            checkpoint,
            row.worker,
            row.epoch,
            row.leaving,
            row.failed_wakes,
            row.not_before,
            row.failure,
            row.live_at,
            row.parked_at,
            row.ended_at
        ],
    )
    .await
    .map(drop)
}

/// Notes that something in a workspace's machine may write to its files from now on.
pub(crate) async fn touch(tx: &mut Tx, workspace: WorkspaceId) -> Result<()> {
    tx.run(&TOUCH, params![workspace]).await.map(drop)
}

/// Notes that what a workspace's machine leaves is not what the workspace goes on from.
pub(crate) async fn supersede(tx: &mut Tx, workspace: WorkspaceId) -> Result<()> {
    tx.run(&SUPERSEDE, params![workspace]).await.map(drop)
}

/// Notes whether a machine's files may be newer than its workspace's last version.
pub(crate) async fn set_touched(tx: &mut Tx, row: &mut MachineRow, touched: bool) -> Result<()> {
    row.touched = touched;
    tx.run(&SET_TOUCHED, params![row.id, touched])
        .await
        .map(drop)
}

/// Notes that a machine is to end as soon as its runs have.
pub(crate) async fn set_ending(tx: &mut Tx, row: &mut MachineRow) -> Result<()> {
    row.ending = true;
    tx.run(&SET_ENDING, params![row.id]).await.map(drop)
}

pub(crate) struct NewCheckpoint<'a> {
    pub(crate) id: CheckpointId,
    pub(crate) version: VersionId,
    pub(crate) runtime_identity: &'a str,
    pub(crate) size_bytes: u64,
    pub(crate) timings: &'a JsonValue,
}

/// Writes a checkpoint of a machine, on the disk of the worker that has its lease.
pub(crate) async fn insert_checkpoint(
    tx: &mut Tx,
    machine: &MachineRow,
    new: NewCheckpoint<'_>,
    at: Moment,
) -> Result<()> {
    tx.run(
        &INSERT_CHECKPOINT,
        params![
            new.id,
            machine.scope.organization,
            machine.scope.project,
            machine.scope.environment,
            machine.workspace,
            machine.id,
            new.version,
            machine.worker,
            machine.epoch,
            new.runtime_identity,
            new.size_bytes,
            new.timings,
            at.now
        ],
    )
    .await
    .map(drop)
}

pub(crate) async fn drop_checkpoint(tx: &mut Tx, id: CheckpointId, at: Moment) -> Result<()> {
    tx.run(&DROP_CHECKPOINT, params![id, at.now])
        .await
        .map(drop)
}

/// A machine that begins as a copy of another, parked.
pub(crate) struct NewParked {
    pub(crate) id: MaterializationId,
    pub(crate) of: MaterializationId,
    pub(crate) workspace: WorkspaceId,
    pub(crate) checkpoint: CheckpointId,
    pub(crate) version: VersionId,
}

pub(crate) async fn insert_parked(tx: &mut Tx, new: NewParked, at: Moment) -> Result<()> {
    let bound = params![
        new.of,
        new.id,
        new.workspace,
        new.checkpoint,
        new.version,
        at.now
    ];
    tx.run(&INSERT_PARKED, bound).await.map(drop)
}

/// What runs are called inside a machine, where that is another name than theirs.
pub(crate) async fn names(tx: &mut Tx, id: MaterializationId) -> Result<Names> {
    let Json(names) = tx.one(&FIND_NAMES, params![id]).await?.take("names")?;
    Ok(names)
}

pub(crate) async fn set_names(tx: &mut Tx, id: MaterializationId, names: &Names) -> Result<()> {
    tx.run(&SET_NAMES, params![id, Json(names)]).await.map(drop)
}
