//! Leases that ran out.

use helmr_domain::lease::{Command as LeaseCommand, State as LeaseState};
use helmr_domain::machine::{Command, State};
use helmr_domain::{Moment, WorkerId, WorkspaceId};

use crate::db::{Tx, params, sql};
use crate::machine::{self, Loss};
use crate::{Hint, Result, Store, lease, runs, workspaces};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reaped {
    pub workspace_id: WorkspaceId,
    pub worker_id: WorkerId,
}

sql! {
    RAN_OUT = "SELECT id
        FROM workspaces
        WHERE lease_state = 'held' AND lease_expires_at <= $1
        ORDER BY lease_expires_at
        LIMIT $2";
}

/// Takes back up to `limit` leases that ran out: their machines are lost, and their runs dispatched again, attempted
/// again or failed. After a start of the control plane, wait a lease's time before calling it, so that workers can renew.
///
/// # Errors
/// If the database fails; those taken back before stay so.
pub async fn reap_expired_leases(store: &Store, at: Moment, limit: u32) -> Result<Vec<Reaped>> {
    let due = store
        .read((at, limit), |tx, input| {
            let (at, limit) = *input;
            Box::pin(async move {
                let found = tx.rows(&RAN_OUT, params![at.now, limit]).await?;
                found
                    .into_iter()
                    .map(|mut row| row.take("id"))
                    .collect::<Result<Vec<WorkspaceId>>>()
            })
        })
        .await?;
    let mut reaped = Vec::new();
    for (workspace, part) in due.into_iter().zip(0..) {
        let taken = store
            .write((workspace, at.part(part)), |tx, input| {
                let (workspace, at) = *input;
                Box::pin(reap(tx, workspace, at))
            })
            .await?;
        reaped.extend(taken);
    }
    Ok(reaped)
}

async fn reap(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<Option<Reaped>> {
    let Some(mut leased) = lease::find(tx, workspace).await? else {
        return Ok(None);
    };
    let LeaseState::Held { worker, .. } = leased.lease.state else {
        return Ok(None);
    };
    if !lease::apply(tx, &mut leased, LeaseCommand::Expire, at).await? {
        return Ok(None);
    }
    tx.hint(Hint::Queue);
    if let Some(mut machine) = machine::current(tx, workspace).await? {
        let newer = machine.touched && !machine.superseded && may_hold_newer_files(machine.state);
        if newer && !is_attempted_again(tx, workspace).await? {
            workspaces::need_recovery(tx, workspace).await?;
        }
        let loss = Loss::Worker;
        machine::apply(tx, &mut machine, &mut leased, Command::Lose, &loss, at).await?;
    }
    Ok(Some(Reaped {
        workspace_id: workspace,
        worker_id: worker,
    }))
}

/// Whether the files may be newer than the last version, if anybody wrote to them.
const fn may_hold_newer_files(state: State) -> bool {
    match state {
        // Somebody may have written while it was parked.
        State::Live | State::Parking | State::Stopping | State::Resuming { .. } => true,
        State::Requested
        | State::Preparing
        | State::Parked { .. }
        | State::Stopped
        | State::Lost
        | State::Failed => false,
    }
}

/// Whether a run will go on from the last version by itself, which chooses that for the workspace.
async fn is_attempted_again(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool> {
    let runs = runs::active_in(tx, workspace).await?;
    Ok(runs.iter().any(|run| {
        run.run
            .state
            .attempt()
            .is_some_and(|attempt| attempt < run.run.state.retry.max_attempts)
    }))
}
