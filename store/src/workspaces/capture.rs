//! Captures that people ask for.
//!
//! The version's id is given when it is asked for, so that whoever makes it, and however often, makes one version. Files
//! that stand still are a version at once, over the manifest that there is; those of a live machine are captured by its
//! worker, which finds the request in its assignment.

use helmr_domain::{Epoch, Moment, Refusal, Scope, VersionId, WorkspaceId};

use super::attach::not_active;
use super::version::{self, NewVersion};
use super::{State, Version, Workspace, read, row};
use crate::db::{Row, Tx, params, sql};
use crate::idempotency::{self, Idempotency, Kept, Origin};
use crate::lease::{self, Leased};
use crate::machine::{self, MachineRow};
use crate::worker::CapturedVersion;
use crate::{Error, Hint, Result, Store, Subject, deployments, outbox, worker};

/// A version to make of a workspace's files as they are now.
#[derive(Clone)]
pub struct Capture {
    pub at: Moment,
    pub scope: Scope,
    pub workspace: WorkspaceId,
    pub message: Option<String>,
    /// Of a parked machine's files, as its worker has found them.
    pub found: Option<Found>,
    pub idempotency: Option<Idempotency<VersionId>>,
}

/// The files of a parked machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of the workspace when its worker was asked: a later one means that the machine was woken meanwhile.
    pub epoch: Epoch,
    /// `None`: nothing was written since it parked.
    pub version: Option<CapturedVersion>,
}

/// How a capture stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Awaited {
    Made(Version),
    Pending,
    Failed(String),
}

/// A request that no worker has fulfilled.
pub(crate) struct Pending {
    pub(crate) id: VersionId,
    message: Option<String>,
}

sql! {
    INSERT = "INSERT INTO captures (
            version_id, organization_id, project_id, environment_id, workspace_id, message,
            created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7)";

    PENDING = "SELECT version_id, message
        FROM captures
        WHERE workspace_id = $1 AND failure IS NULL
        ORDER BY version_id";

    REMOVE = "DELETE FROM captures
        WHERE version_id = $1";

    FAIL = "UPDATE captures
        SET failure = $2
        WHERE workspace_id = $1 AND failure IS NULL";

    FIND = "SELECT failure
        FROM captures
        WHERE version_id = $1 AND workspace_id = $2
            AND organization_id = $3 AND project_id = $4 AND environment_id = $5";
}

/// Asks for a version of the files as they are now.
///
/// # Errors
/// `NotFound`; `Stale` if the machine is parked and `found` is not of its last lease: ask its worker again; `Refused`:
/// `WorkspaceNotActive`, `WorkspaceEmpty` if it has no files yet, `IdempotencyKeyReused`.
pub async fn capture(store: &Store, input: Capture) -> Result<Kept<VersionId>> {
    store
        .write(input, |tx, input| Box::pin(capture_in(tx, input)))
        .await
}

async fn capture_in(tx: &mut Tx, input: &Capture) -> Result<Kept<VersionId>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    let workspace = row::get(tx, scope, input.workspace).await?;
    if workspace.state != State::Active {
        return Err(not_active(&workspace));
    }
    let mut leased = lease::find(tx, workspace.id)
        .await?
        .ok_or(Error::NotFound("workspace"))?;
    let id = at.ids().make(VersionId::new);
    let machine = machine::current(tx, workspace.id).await?;
    match machine.filter(|machine| !machine.superseded) {
        None => over_last(tx, &workspace, &mut leased, id, input).await?,
        Some(machine) if machine.is_parked() => {
            let found = input.found.as_ref();
            let found = found.filter(|found| found.epoch == leased.lease.epoch);
            match &found.ok_or(Error::Stale)?.version {
                Some(edited) => {
                    let new = NewVersion {
                        id,
                        kind: "manual",
                        message: input.message.as_deref(),
                        manifest: &edited.manifest,
                        size_bytes: edited.size_bytes,
                        changed_bytes: edited.changed_bytes,
                    };
                    version::insert(tx, &mut leased, &new, at).await?;
                }
                None => over_last(tx, &workspace, &mut leased, id, input).await?,
            }
        }
        Some(_) => {
            let bound = params![
                id,
                scope.organization,
                scope.project,
                scope.environment,
                workspace.id,
                input.message,
                at.now
            ];
            tx.run(&INSERT, bound).await?;
            outbox::mark(tx, workspace.id, at).await?;
        }
    }
    idempotency::keep(tx, scope, origin, id, at).await
}

/// One more version of what the workspace stands on: nothing is written for it but its row.
async fn over_last(
    tx: &mut Tx,
    workspace: &Workspace,
    leased: &mut Leased,
    id: VersionId,
    input: &Capture,
) -> Result<()> {
    let (manifest, size_bytes) = match version::current(tx, leased).await? {
        Some(last) => (last.manifest, last.size_bytes),
        None => seed(tx, workspace).await?.ok_or(Refusal::WorkspaceEmpty)?,
    };
    let new = NewVersion {
        id,
        kind: "manual",
        message: input.message.as_deref(),
        manifest: &manifest,
        size_bytes,
        changed_bytes: 0,
    };
    version::insert(tx, leased, &new, input.at).await
}

/// The manifest of a workspace's current version, or of its image's files as far as they are known.
///
/// # Errors
/// `NotFound`.
pub async fn last_files(
    store: &Store,
    scope: Scope,
    workspace: WorkspaceId,
) -> Result<Option<String>> {
    store
        .read((scope, workspace), |tx, input| {
            let (scope, workspace) = *input;
            Box::pin(async move {
                let workspace = row::get(tx, scope, workspace).await?;
                if let Some(id) = workspace.current_version_id {
                    let last = read::version_in(tx, scope, workspace.id, id).await?;
                    return Ok(last.map(|version| version.manifest));
                }
                Ok(seed(tx, &workspace).await?.map(|(manifest, _)| manifest))
            })
        })
        .await
}

/// What the image of a workspace in which nothing has run holds, if that was captured.
async fn seed(tx: &mut Tx, workspace: &Workspace) -> Result<Option<(String, u64)>> {
    let Some(deployment) = workspace.deployment_id else {
        return Ok(None);
    };
    let sandbox = deployments::find_sandbox(tx, deployment, &workspace.sandbox).await?;
    match sandbox {
        Some(sandbox) => {
            let spec = &sandbox.spec;
            worker::seed(tx, workspace.scope, &spec.image_digest, &spec.mount_path).await
        }
        None => Ok(None),
    }
}

/// How a capture that was asked for stands.
///
/// # Errors
/// `NotFound` if it never was.
pub async fn asked(
    store: &Store,
    scope: Scope,
    workspace: WorkspaceId,
    id: VersionId,
) -> Result<Awaited> {
    store
        .read((scope, workspace, id), |tx, input| {
            let (scope, workspace, id) = *input;
            Box::pin(async move {
                if let Some(made) = read::version_in(tx, scope, workspace, id).await? {
                    return Ok(Awaited::Made(made));
                }
                let bound = params![
                    id,
                    workspace,
                    scope.organization,
                    scope.project,
                    scope.environment
                ];
                let mut row = tx
                    .find(&FIND, bound)
                    .await?
                    .ok_or(Error::NotFound("version"))?;
                Ok(match row.take("failure")? {
                    Some(failure) => Awaited::Failed(failure),
                    None => Awaited::Pending,
                })
            })
        })
        .await
}

/// What a workspace's worker is asked to capture, in order.
pub(crate) async fn pending(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<Pending>> {
    let found = tx.rows(&PENDING, params![workspace]).await?;
    found.into_iter().map(read_pending).collect()
}

fn read_pending(mut row: Row) -> Result<Pending> {
    Ok(Pending {
        id: row.take("version_id")?,
        message: row.take("message")?,
    })
}

/// Keeps files that a worker captured because it was `asked` to: one version for each request. Files that nobody waits
/// for any more are a version like any other.
pub(crate) async fn record_asked(
    tx: &mut Tx,
    leased: &mut Leased,
    machine: &MachineRow,
    (captured, asked): (&CapturedVersion, &[VersionId]),
    at: Moment,
) -> Result<()> {
    let mut waited_for = pending(tx, leased.id).await?;
    waited_for.retain(|request| asked.contains(&request.id));
    if waited_for.is_empty() {
        return version::record(tx, leased, machine, captured, at).await;
    }
    let mut changed_bytes = captured.changed_bytes;
    for (request, part) in waited_for.iter().zip(0..) {
        let stored = Stored {
            manifest: &captured.manifest,
            size_bytes: captured.size_bytes,
            changed_bytes: std::mem::take(&mut changed_bytes),
        };
        fulfil_one(tx, leased, request, &stored, at.part(part)).await?;
    }
    outbox::mark(tx, leased.id, at).await
}

struct Stored<'a> {
    manifest: &'a str,
    size_bytes: u64,
    changed_bytes: u64,
}

async fn fulfil_one(
    tx: &mut Tx,
    leased: &mut Leased,
    request: &Pending,
    stored: &Stored<'_>,
    at: Moment,
) -> Result<()> {
    let new = NewVersion {
        id: request.id,
        kind: "manual",
        message: request.message.as_deref(),
        manifest: stored.manifest,
        size_bytes: stored.size_bytes,
        changed_bytes: stored.changed_bytes,
    };
    version::insert(tx, leased, &new, at).await?;
    tx.run(&REMOVE, params![request.id]).await.map(drop)
}

/// The machine stands still or is over, and the workspace's current version is what it left: what was asked for is over
/// that.
pub(crate) async fn fulfil(tx: &mut Tx, leased: &mut Leased, at: Moment) -> Result<()> {
    let waited_for = pending(tx, leased.id).await?;
    if waited_for.is_empty() {
        return Ok(());
    }
    let Some(last) = version::current(tx, leased).await? else {
        return fail(tx, leased, "nothing has run in the workspace yet").await;
    };
    let stored = Stored {
        manifest: &last.manifest,
        size_bytes: last.size_bytes,
        changed_bytes: 0,
    };
    for (request, part) in waited_for.iter().zip(0..) {
        fulfil_one(tx, leased, request, &stored, at.part(part)).await?;
    }
    Ok(())
}

/// A machine has parked or is over: what was asked of it is made or will never be.
pub(crate) async fn settle(
    tx: &mut Tx,
    leased: &mut Leased,
    machine: &MachineRow,
    at: Moment,
) -> Result<()> {
    if machine.left_newer_files() {
        fail(tx, leased, "the machine was lost with its newest files").await
    } else {
        fulfil(tx, leased, at).await
    }
}

/// Nobody will make what was asked for.
pub(super) async fn fail(tx: &mut Tx, leased: &Leased, reason: &str) -> Result<()> {
    if tx.run(&FAIL, params![leased.id, reason]).await? > 0 {
        tx.hint(Hint::Events(Subject::Workspace(leased.id)));
    }
    Ok(())
}
