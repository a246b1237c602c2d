//! A live fork, committed whole.
//!
//! The original stands still from before its memory was taken until this answers. So nothing can be known of it here that
//! its memory does not know or asks for again: a call that was committed has its answer copied, one that was not is made
//! anew, by each of the two in its own name.

use helmr_domain::machine::State as MachineState;
use helmr_domain::{Refusal, WorkspaceId};

use super::request::{check, first_version};
use super::sessions::{self, Copying};
use super::{Fork, Forked, State, row};
use crate::db::Tx;
use crate::events::{self, About};
use crate::machine::{self, MachineRow, NewCheckpoint, NewParked};
use crate::worker::fenced_machine;
use crate::workspaces::{self, CopiedVersion, CopyOf};
use crate::{Error, Hint, Result, Store, Subject, execs};

/// Its memory and files are durable, and the original stands still: makes the fork.
///
/// # Errors
/// `Stale`; `Refused`: `ForkOver` if it is not asked for any more, or under other ids, `MachineNotInState`, and what forbids
/// a fork: `RunStopping`, `ForkTooLarge`, `ExternalIdTaken`.
pub async fn forked(store: &Store, input: Forked) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(forked_in(tx, input)))
        .await
}

async fn forked_in(tx: &mut Tx, input: &Forked) -> Result<()> {
    let at = input.at;
    let mut fork = row::find(tx, input.workspace_id)
        .await?
        .filter(|fork| {
            fork.source == input.fence.lease.workspace_id
                && fork.materialization_id == input.materialization_id
                && fork.checkpoint_id == input.checkpoint_id
        })
        .ok_or(Refusal::ForkOver)?;
    match fork.state {
        // Told again: the answer was lost.
        State::Done => return Ok(()),
        State::Failed { .. } => return Err(Refusal::ForkOver.into()),
        State::Requested => {}
    }
    let (machine, mut leased) = fenced_machine(tx, input.fence).await?;
    if machine.state != MachineState::Live {
        let state = machine.state.as_str();
        return Err(Refusal::MachineNotInState { state }.into());
    }
    check(tx, fork.scope, fork.source).await?;
    workspaces::record_version(tx, &mut leased, &machine, &input.version, at).await?;
    let copy = CopyOf {
        id: fork.workspace_id,
        scope: fork.scope,
        source: fork.source,
        external_id: fork.external_id.as_deref(),
        metadata: &fork.metadata,
        tags: &fork.tags,
        version: Some(CopiedVersion {
            of: input.version.version_id,
            id: fork.version_id,
            size_bytes: input.version.size_bytes,
        }),
        worker: Some(machine.worker),
    };
    workspaces::copy(tx, copy, at).await?;
    tell(tx, &fork, input).await?;
    let mut copying = Copying {
        scope: fork.scope,
        source: fork.source,
        target: fork.workspace_id,
        at,
        ids: at.part(0).ids(),
    };
    // Before the runs, which look for their machine when they are set aside.
    park(tx, &fork, &machine, input).await?;
    let copied = sessions::copy_all(tx, &mut copying).await?;
    let active = execs::active_in(tx, fork.source).await?;
    let others: Vec<String> = active.iter().map(|exec| exec.id.to_string()).collect();
    let names = machine::names(tx, machine.id)
        .await?
        .copied(&copied, &others);
    machine::set_names(tx, fork.materialization_id, &names).await?;
    fork.state = State::Done;
    row::save(tx, &fork, at).await?;
    tx.hint(Hint::Workspace(fork.source));
    tx.hint(Hint::Workspace(fork.workspace_id));
    tx.hint(Hint::Queue);
    Ok(())
}

/// Writes the copy's machine, parked on the disk of the worker that made it.
async fn park(tx: &mut Tx, fork: &Fork, original: &MachineRow, input: &Forked) -> Result<()> {
    let parked = NewParked {
        id: fork.materialization_id,
        of: original.id,
        workspace: fork.workspace_id,
        checkpoint: fork.checkpoint_id,
        version: fork.version_id,
    };
    machine::insert_parked(tx, parked, input.at).await?;
    let machine = machine::find(tx, fork.materialization_id)
        .await?
        .ok_or(Error::NotFound("machine"))?;
    let checkpoint = NewCheckpoint {
        id: fork.checkpoint_id,
        version: fork.version_id,
        runtime_identity: &input.runtime_identity,
        size_bytes: input.checkpoint_size_bytes,
        timings: &input.timings,
    };
    machine::insert_checkpoint(tx, &machine, checkpoint, input.at).await
}

async fn tell(tx: &mut Tx, fork: &Fork, input: &Forked) -> Result<()> {
    let id: WorkspaceId = fork.workspace_id;
    let about = About {
        subject: Subject::Workspace(id),
        scope: fork.scope,
        run: None,
        session: None,
        workspace: Some(id),
        attempt: None,
    };
    let event =
        first_version(fork.version_id, input.version.size_bytes, fork.source).with("live", true);
    events::append(tx, about, event, input.at).await
}
