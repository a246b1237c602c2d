//! The end of a workspace's machine, and of the workspace.
//!
//! Neither waits for the machine: it is told, and ends once its runs have. A machine that was told so takes no more runs;
//! those that come meanwhile are given the next one.

use helmr_domain::run::StopReason;
use helmr_domain::{Moment, Refusal, RunId, SessionId};

use super::attach::not_active;
use super::{End, State, Workspace, row};
use crate::db::{Tx, params, sql};
use crate::sessions::{self, Why};
use crate::{Result, Store, machine};

sql! {
    UNFINISHED = "SELECT id
        FROM runs
        WHERE workspace_id = $1 AND status IN ('queued', 'running', 'waiting')
        ORDER BY id";

    OPEN_SESSIONS = "SELECT id
        FROM sessions
        WHERE environment_id = $1 AND workspace_id = $2 AND status = 'open'
        ORDER BY id";
}

/// Stops a workspace's machine: a live one is told to end, its files are captured then; a parked one is dropped. Without
/// a machine nothing changes.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceBusy` while a run in it has not ended, unless forced; `WorkspaceNotActive` if it is
/// deleted.
pub async fn stop(store: &Store, input: End) -> Result<Workspace> {
    store
        .write(input, |tx, input| Box::pin(stop_in(tx, input)))
        .await
}

async fn stop_in(tx: &mut Tx, input: &End) -> Result<Workspace> {
    let workspace = row::get(tx, input.scope, input.workspace).await?;
    if workspace.state == State::Deleted {
        return Err(not_active(&workspace));
    }
    check_idle(tx, input).await?;
    cancel_runs(tx, input, "the workspace was stopped").await?;
    machine::end(tx, workspace.id, input.at).await?;
    row::get(tx, input.scope, input.workspace).await
}

/// Deletes a workspace: its open sessions are cancelled, its machine ends, and its external id is free again. Deleting it
/// again changes nothing.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceBusy)` while a run in it has not ended, unless forced.
pub async fn delete(store: &Store, input: End) -> Result<Workspace> {
    store
        .write(input, |tx, input| Box::pin(delete_in(tx, input)))
        .await
}

async fn delete_in(tx: &mut Tx, input: &End) -> Result<Workspace> {
    let workspace = row::get(tx, input.scope, input.workspace).await?;
    if workspace.state == State::Deleted {
        return Ok(workspace);
    }
    check_idle(tx, input).await?;
    let text = "the workspace was deleted";
    let open = params![input.scope.environment, input.workspace];
    for (mut found, part) in tx.rows(&OPEN_SESSIONS, open).await?.into_iter().zip(0..) {
        let session: SessionId = found.take("id")?;
        // Nothing could run in them any more.
        sessions::cancel_in(
            tx,
            session,
            why(StopReason::SessionCancelled, text),
            input.at.part(part),
        )
        .await?;
    }
    // Of sessions that had ended before, some runs may still be stopping.
    cancel_runs(tx, input, text).await?;
    row::set_state(tx, workspace.id, State::Deleted).await?;
    machine::end(tx, workspace.id, input.at).await?;
    row::get(tx, input.scope, input.workspace).await
}

/// # Errors
/// `Refused(WorkspaceBusy)`.
async fn check_idle(tx: &mut Tx, input: &End) -> Result<()> {
    if input.force {
        return Ok(());
    }
    let run_ids = unfinished(tx, input).await?;
    if run_ids.is_empty() {
        Ok(())
    } else {
        Err(Refusal::WorkspaceBusy { run_ids }.into())
    }
}

async fn unfinished(tx: &mut Tx, input: &End) -> Result<Vec<RunId>> {
    let found = tx.rows(&UNFINISHED, params![input.workspace]).await?;
    found.into_iter().map(|mut row| row.take("id")).collect()
}

async fn cancel_runs(tx: &mut Tx, input: &End, text: &str) -> Result<()> {
    for (run, part) in unfinished(tx, input).await?.into_iter().zip(0..) {
        let at: Moment = input.at.part(part);
        sessions::stop_run(tx, run, why(StopReason::Cancelled, text), at).await?;
    }
    Ok(())
}

fn why(reason: StopReason, text: &str) -> Why {
    Why {
        reason,
        text: Some(text.to_owned()),
    }
}
