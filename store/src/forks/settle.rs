//! Live forks that were not made, and what a worker that was killed left of one.

use helmr_domain::{CheckpointId, MaterializationId, Moment, Scope, WorkspaceId};

use super::{Fork, State, row};
use crate::db::Tx;
use crate::worker::MachineFence;
use crate::{Error, Hint, Result, Store, lease, outbox};

/// Gives a fork up that nobody waits for any more, unless it is made.
///
/// # Errors
/// `NotFound`.
pub async fn give_up(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    reason: &str,
    at: Moment,
) -> Result<Fork> {
    store
        .write((scope, id, reason.to_owned(), at), |tx, input| {
            Box::pin(async move {
                let (scope, id, reason, at) = input;
                let mut fork = row::find(tx, *id)
                    .await?
                    .filter(|fork| fork.scope == *scope)
                    .ok_or(Error::NotFound("workspace"))?;
                fail(tx, &mut fork, reason, *at).await?;
                Ok(fork)
            })
        })
        .await
}

/// The worker could not make it, and nothing of it is left there.
///
/// # Errors
/// `Stale`.
pub async fn fork_failed(
    store: &Store,
    fence: MachineFence,
    id: WorkspaceId,
    reason: &str,
    at: Moment,
) -> Result<()> {
    store
        .write((fence, id, reason.to_owned(), at), |tx, input| {
            Box::pin(async move {
                let (fence, id, reason, at) = input;
                lease::check(tx, fence.lease).await?;
                let found = row::find(tx, *id).await?;
                match found.filter(|fork| fork.source == fence.lease.workspace_id) {
                    Some(mut fork) => fail(tx, &mut fork, reason, *at).await,
                    None => Ok(()),
                }
            })
        })
        .await
}

/// The machine that they were to be copies of is over.
pub(crate) async fn fail_all(
    tx: &mut Tx,
    source: WorkspaceId,
    reason: &str,
    at: Moment,
) -> Result<()> {
    for mut fork in row::requested(tx, source).await? {
        fail(tx, &mut fork, reason, at).await?;
    }
    Ok(())
}

async fn fail(tx: &mut Tx, fork: &mut Fork, reason: &str, at: Moment) -> Result<()> {
    if fork.state != State::Requested {
        return Ok(());
    }
    fork.state = State::Failed {
        reason: reason.to_owned(),
    };
    row::save(tx, fork, at).await?;
    outbox::mark(tx, fork.source, at).await?;
    tx.hint(Hint::Workspace(fork.source));
    Ok(())
}

/// Says whether a copy that a worker found on its disk was committed. One that was not never will be: the fork gets other
/// ids, under which it is made again.
///
/// # Errors
/// If the database fails.
pub async fn settle(store: &Store, id: MaterializationId, at: Moment) -> Result<bool> {
    store
        .write((id, at), |tx, input| {
            let (id, at) = *input;
            Box::pin(async move {
                let Some(mut fork) = row::find_machine(tx, id).await? else {
                    return Ok(false);
                };
                match fork.state {
                    State::Done => return Ok(true),
                    State::Failed { .. } => return Ok(false),
                    State::Requested => {}
                }
                let ids = at.ids();
                fork.materialization_id = ids.make(MaterializationId::new);
                fork.checkpoint_id = ids.make(CheckpointId::new);
                row::save(tx, &fork, at).await?;
                outbox::mark(tx, fork.source, at).await?;
                Ok(false)
            })
        })
        .await
}
