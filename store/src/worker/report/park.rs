//! A machine parks.

use helmr_domain::Moment;
use helmr_domain::machine::Command;

use super::live::no_loss;
use super::{MachineReport, Parked, fenced};
use crate::db::{Tx, params, sql};
use crate::machine::{self, MachineRow, NewCheckpoint};
use crate::{Result, Store, execs, forks, outbox, runs, wait, workspaces};

sql! {
    FIND_CHECKPOINT = "SELECT 1
        FROM checkpoints
        WHERE id = $1 AND materialization_id = $2 AND epoch = $3 AND worker_id = $4";

    SET_LAST_WORKER = "UPDATE workspaces
        SET last_worker_id = $2
        WHERE id = $1";
}

/// It is about to be paused for a park.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy` while a run in it is not waiting or an outcome is undelivered, `MachineNotInState`.
pub async fn machine_parking(store: &Store, input: MachineReport) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (mut machine, mut leased) = fenced(tx, input.fence).await?;
                let command = Command::BeginPark {
                    busy: is_active(tx, &machine, input.at).await?,
                };
                machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// Whether something in a machine runs or is about to.
async fn is_active(tx: &mut Tx, machine: &MachineRow, at: Moment) -> Result<bool> {
    let workspace = machine.workspace;
    if wait::has_undelivered(tx, workspace).await? {
        return Ok(true);
    }
    if execs::any_awake(tx, workspace).await? || forks::wants(tx, workspace).await? {
        return Ok(true);
    }
    let runs = runs::active_in(tx, workspace).await?;
    let active = runs.iter().any(|run| {
        run.run.state.status() == helmr_domain::run::Status::Running || run.run.state.stop.is_some()
    });
    // What is queued does not join a machine that is to end.
    let joining = !machine.ending && !runs::leasable_in(tx, workspace, at).await?.is_empty();
    Ok(active || joining)
}

/// Its checkpoint and files are durable. The lease is released with it, so that a wake may come at once.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_parked(store: &Store, input: Parked) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(parked_in(tx, input)))
        .await
}

async fn parked_in(tx: &mut Tx, input: &Parked) -> Result<()> {
    if was_recorded(tx, input).await? {
        return Ok(());
    }
    let (mut machine, mut leased) = fenced(tx, input.fence).await?;
    workspaces::record_version(tx, &mut leased, &machine, &input.version, input.at).await?;
    let checkpoint = NewCheckpoint {
        id: input.checkpoint_id,
        version: input.version.version_id,
        runtime_identity: &input.runtime_identity,
        size_bytes: input.checkpoint_size_bytes,
        timings: &input.timings,
    };
    machine::insert_checkpoint(tx, &machine, checkpoint, input.at).await?;
    tx.run(&SET_LAST_WORKER, params![machine.workspace, machine.worker])
        .await?;
    let command = Command::Park {
        checkpoint: input.checkpoint_id,
        draining: input.draining,
    };
    machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at).await?;
    outbox::mark(tx, machine.workspace, input.at).await
}

/// Whether this very report was committed before: it ended the lease with which it comes.
async fn was_recorded(tx: &mut Tx, input: &Parked) -> Result<bool> {
    let lease = input.fence.lease;
    let bound = params![
        input.checkpoint_id,
        input.fence.materialization_id,
        lease.epoch,
        lease.worker_id
    ];
    Ok(tx.find(&FIND_CHECKPOINT, bound).await?.is_some())
}
