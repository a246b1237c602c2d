//! A live fork, asked for.

use helmr_domain::{
    CheckpointId, Event, EventKind, MaterializationId, Refusal, Scope, VersionId, WorkspaceId,
    fork as domain, limits,
};

use super::{Fork, Request, State, row};
use crate::db::{Tx, params, sql};
use crate::{Error, Hint, Result, Store, machine, outbox, quotas, runs, workspaces};

sql! {
    COUNT_RECORDS = "SELECT CAST(COALESCE(SUM(last_position), 0) AS BIGINT)
        FROM sessions
        WHERE environment_id = $1 AND workspace_id = $2 AND status = 'open'";
}

/// Asks for a copy of a workspace's machine. One that is parked is woken for it. A key that came before gives the fork
/// that it asked for.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceNotActive`, `NothingToFork`, `RunStopping`, `ForkTooLarge`, `ExternalIdTaken`,
/// `IdempotencyKeyReused`.
pub async fn request(store: &Store, input: Request) -> Result<Fork> {
    store
        .write(input, |tx, input| Box::pin(request_in(tx, input)))
        .await
}

async fn request_in(tx: &mut Tx, input: &Request) -> Result<Fork> {
    let (scope, source, at) = (input.scope, input.source, input.at);
    if let Some((key, hash)) = &input.key
        && let Some(before) = row::find_keyed(tx, scope.environment, key).await?
    {
        if before.request_hash == Some(*hash) {
            return Ok(before);
        }
        return Err(Refusal::IdempotencyKeyReused.into());
    }
    workspaces::check_usable(tx, scope, source).await?;
    quotas::check_workspace(tx, scope).await?;
    let machine = machine::current(tx, source).await?;
    match machine {
        None => return Err(nothing("it has none")),
        Some(machine) if machine.ending => return Err(nothing("it is told to stop")),
        Some(machine) if machine.state == helmr_domain::machine::State::Stopping => {
            return Err(nothing("it is stopping"));
        }
        Some(_) => {}
    }
    check(tx, scope, source).await?;
    if let Some(external_id) = &input.external_id {
        workspaces::check_free(tx, scope, external_id).await?;
    }
    let ids = at.ids();
    let fork = Fork {
        workspace_id: ids.make(WorkspaceId::new),
        scope,
        source,
        materialization_id: ids.make(MaterializationId::new),
        checkpoint_id: ids.make(CheckpointId::new),
        version_id: ids.make(VersionId::new),
        external_id: input.external_id.clone(),
        metadata: input.metadata.clone(),
        tags: input.tags.clone(),
        state: State::Requested,
        request_hash: input.key.as_ref().map(|(_, hash)| *hash),
    };
    row::insert(tx, &fork, input).await?;
    workspaces::touch(tx, source, at).await?;
    outbox::mark(tx, source, at).await?;
    tx.hint(Hint::Workspace(source));
    Ok(fork)
}

fn nothing(why: &str) -> Error {
    let why = why.to_owned();
    Refusal::NothingToFork { why }.into()
}

/// Whether what is in a workspace's machine can be copied.
///
/// # Errors
/// `Refused`: `RunStopping`, `ForkTooLarge`.
pub(super) async fn check(tx: &mut Tx, scope: Scope, source: WorkspaceId) -> Result<()> {
    for run in runs::active_in(tx, source).await? {
        domain::past_of(&run.run.state)?;
    }
    let bound = params![scope.environment, source];
    let records: u64 = tx.one(&COUNT_RECORDS, bound).await?.take("records")?;
    if records > limits::FORK_RECORDS {
        let limit = limits::FORK_RECORDS;
        return Err(Refusal::ForkTooLarge { records, limit }.into());
    }
    Ok(())
}

/// Looks a fork up by the workspace that it makes.
///
/// # Errors
/// If the database fails.
pub async fn get(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Option<Fork>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = row::find(tx, id).await?;
                Ok(found.filter(|fork| fork.scope == scope))
            })
        })
        .await
}

/// The fork that a key asked for.
///
/// # Errors
/// `Refused(IdempotencyKeyReused)` if it asked for another.
pub async fn find_keyed(
    store: &Store,
    scope: Scope,
    key: &str,
    hash: [u8; 32],
) -> Result<Option<Fork>> {
    store
        .read((scope, key.to_owned(), hash), |tx, input| {
            Box::pin(async move {
                let (scope, key, hash) = input;
                match row::find_keyed(tx, scope.environment, key).await? {
                    Some(fork) if fork.request_hash != Some(*hash) => {
                        Err(Refusal::IdempotencyKeyReused.into())
                    }
                    found => Ok(found),
                }
            })
        })
        .await
}

/// Tells of a workspace's first version.
pub(super) fn first_version(fork: VersionId, size_bytes: u64, source: WorkspaceId) -> Event {
    Event::new(EventKind::WorkspaceVersion)
        .with("version_id", fork.to_string())
        .with("kind", "fork")
        .with("size_bytes", size_bytes)
        .with("changed_bytes", 0)
        .with("forked_from", source.to_string())
}
