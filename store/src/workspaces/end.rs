//! The end of a workspace's machine, and of the workspace.
//!
//! Neither waits for the machine: it is told, and ends once its runs have. A machine that was told so takes no more runs;
//! those that come meanwhile are given the next one.

use helmr_domain::run::StopReason;
use helmr_domain::{Moment, Refusal, RunId, Scope, SessionId, WorkspaceId};

use super::attach::not_active;
use super::{End, State, Workspace, materialize, row};
use crate::db::{Tx, params, sql};
use crate::sessions::{self, Why};
use crate::{Hint, Result, Store, execs, machine};

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

/// Archives a workspace: its machine ends, and nothing runs in it until it is unarchived. Archiving it again changes
/// nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceBusy` while a run in it has not ended, unless forced; `WorkspaceNotActive` if it is
/// deleted or needs recovery.
pub async fn archive(store: &Store, input: End) -> Result<Workspace> {
    store
        .write(input, |tx, input| Box::pin(archive_in(tx, input)))
        .await
}

async fn archive_in(tx: &mut Tx, input: &End) -> Result<Workspace> {
    let workspace = row::get(tx, input.scope, input.workspace).await?;
    match workspace.state {
        State::Archived => return Ok(workspace),
        State::Active => {}
        State::RecoveryRequired | State::Deleted => return Err(not_active(&workspace)),
    }
    check_idle(tx, input).await?;
    cancel_runs(tx, input, "the workspace was archived").await?;
    row::set_state(tx, workspace.id, State::Archived).await?;
    materialize::want_no_machine(tx, workspace.id).await?;
    machine::end(tx, workspace.id, input.at).await?;
    row::get(tx, input.scope, input.workspace).await
}

/// Has a workspace that is archived be used again. In an active one nothing changes.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)` if it is deleted or needs recovery.
pub async fn unarchive(store: &Store, scope: Scope, id: WorkspaceId) -> Result<Workspace> {
    store
        .write((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = row::get(tx, scope, id).await?;
                match found.state {
                    State::Active => return Ok(found),
                    State::Archived => {}
                    State::RecoveryRequired | State::Deleted => return Err(not_active(&found)),
                }
                row::set_state(tx, id, State::Active).await?;
                // Input that came meanwhile may have started runs.
                tx.hint(Hint::Queue);
                row::get(tx, scope, id).await
            })
        })
        .await
}

async fn stop_in(tx: &mut Tx, input: &End) -> Result<Workspace> {
    let workspace = row::get(tx, input.scope, input.workspace).await?;
    if workspace.state == State::Deleted {
        return Err(not_active(&workspace));
    }
    check_idle(tx, input).await?;
    cancel_runs(tx, input, "the workspace was stopped").await?;
    materialize::want_no_machine(tx, workspace.id).await?;
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
    materialize::want_no_machine(tx, workspace.id).await?;
    machine::end(tx, workspace.id, input.at).await?;
    // Those that waited for the next machine: there will be none.
    execs::kill_queued_in(tx, workspace.id, input.at).await?;
    row::get(tx, input.scope, input.workspace).await
}

/// # Errors
/// `Refused(WorkspaceBusy)`.
pub(super) async fn check_idle(tx: &mut Tx, input: &End) -> Result<()> {
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

pub(super) async fn cancel_runs(tx: &mut Tx, input: &End, text: &str) -> Result<()> {
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
