//! What happens to machines, committed with what it means for their runs, waits and lease.

use helmr_domain::Moment;
use helmr_domain::lease::{self as lease_domain, State as LeaseState};
use helmr_domain::machine::{Command, Effect, State, decide};
use helmr_domain::{Timestamp, WorkspaceId, run};

use super::row::{self, MachineRow};
use crate::db::Tx;
use crate::lease::{self, Leased};
use crate::{Error, Hint, Result, execs, forks, outbox, runs, wait, workspaces};

/// What the end of a machine means to the runs in it.
pub(crate) type Loss = run::Loss;

/// Decides and saves, and follows up. Answers whether anything changed.
pub(crate) async fn apply(
    tx: &mut Tx,
    machine: &mut MachineRow,
    leased: &mut Leased,
    command: Command,
    loss: &Loss,
    at: Moment,
) -> Result<bool> {
    let decision = decide(machine.state, command, at.now)?;
    let Some(next) = decision.next else {
        return Ok(false);
    };
    note_touched(tx, machine, next).await?;
    let leaving = machine.leaving;
    enter(machine, next, at);
    row::save(tx, machine).await?;
    tell_workspace(tx, machine, leaving, at).await?;
    for effect in decision.effects {
        match effect {
            Effect::RunsGoOn => all_runs(tx, machine, &run::Command::Live, at).await?,
            Effect::RunsParked => {
                all_runs(tx, machine, &run::Command::Park, at).await?;
                wait::park_hot(tx, machine.workspace, at).await?;
            }
            Effect::RunsMove => running_move(tx, machine, at).await?,
            Effect::RunsLost => {
                all_runs(tx, machine, &run::Command::Lose(loss.clone()), at).await?;
            }
            Effect::ReleaseLease => release(tx, leased, at).await?,
            Effect::DropCheckpoint(checkpoint) => row::drop_checkpoint(tx, checkpoint, at).await?,
        }
    }
    if machine.ended_at.is_some() {
        let reason = format!("the machine is {}", machine.state.as_str());
        forks::fail_all(tx, machine.workspace, &reason, at).await?;
        execs::lose_in(tx, machine.workspace, at).await?;
    }
    if machine.ended_at.is_some() || machine.is_parked() {
        workspaces::settle_captures(tx, leased, machine, at).await?;
    }
    outbox::mark(tx, machine.workspace, at).await?;
    if machine.ending && matches!(machine.state, State::Parked { .. }) {
        Box::pin(forget(tx, machine, leased, at)).await?;
    }
    // Room was made, or something may be woken.
    tx.hint(Hint::Queue);
    Ok(true)
}

/// A park captured what was written; whatever was set aside writes again once it is awake.
async fn note_touched(tx: &mut Tx, machine: &mut MachineRow, next: State) -> Result<()> {
    match (machine.state, next) {
        (State::Live | State::Parking, State::Parked { .. }) => {
            row::set_touched(tx, machine, false).await
        }
        (State::Resuming { .. }, State::Live) => row::set_touched(tx, machine, true).await,
        _ => Ok(()),
    }
}

/// Says what became of a machine that was asked for by itself. `leaving`: it was told to make room.
async fn tell_workspace(
    tx: &mut Tx,
    machine: &MachineRow,
    leaving: bool,
    at: Moment,
) -> Result<()> {
    let workspace = machine.workspace;
    match machine.state {
        State::Live if !machine.ending => workspaces::machine_is_live(tx, workspace).await,
        // Its worker goes away, or did not know yet: what was asked for is asked for again.
        State::Parked { .. } | State::Stopped if !machine.ending && !leaving => {
            workspaces::machine_ended(tx, workspace, workspaces::Asked::Again, at).await
        }
        // Whoever asked is told, and may ask again: another one would most likely go the same way.
        State::Failed | State::Lost => {
            workspaces::machine_ended(tx, workspace, workspaces::Asked::NoMore, at).await
        }
        State::Live
        | State::Parked { .. }
        | State::Stopped
        | State::Requested
        | State::Preparing
        | State::Parking
        | State::Resuming { .. }
        | State::Stopping => {
            tx.hint(Hint::Workspace(workspace));
            Ok(())
        }
    }
}

fn enter(machine: &mut MachineRow, next: State, at: Moment) {
    match next {
        State::Live => {
            machine.live_at = Some(at.now);
            machine.failed_wakes = 0;
            // Whatever was put off is not, also if the clock is set back.
            machine.not_before = Timestamp::from_micros(0);
        }
        State::Parked { .. } => {
            // Back from a wake that failed, it has been parked all the time.
            if !matches!(machine.state, State::Resuming { .. }) {
                machine.parked_at = Some(at.now);
            }
            machine.leaving = false;
        }
        State::Stopped | State::Lost | State::Failed => machine.ended_at = Some(at.now),
        State::Requested
        | State::Preparing
        | State::Parking
        | State::Resuming { .. }
        | State::Stopping => {}
    }
    machine.state = next;
}

/// Ends a workspace's machine as soon as no run needs it: one that lives is told so, and one that is parked is dropped.
pub(crate) async fn end(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    let Some(mut machine) = row::current(tx, workspace).await? else {
        return Ok(());
    };
    if !machine.ending {
        row::set_ending(tx, &mut machine).await?;
        execs::kill_in(tx, workspace, at).await?;
        outbox::mark(tx, workspace, at).await?;
    }
    forget_parked(tx, machine, at).await
}

/// A run of the workspace has ended: a parked machine that was to end may have been kept for it alone.
pub(crate) async fn settle(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    match row::current(tx, workspace).await? {
        Some(machine) if machine.ending => forget_parked(tx, machine, at).await,
        Some(_) | None => Ok(()),
    }
}

async fn forget_parked(tx: &mut Tx, mut machine: MachineRow, at: Moment) -> Result<()> {
    if !matches!(machine.state, State::Parked { .. }) {
        return Ok(());
    }
    let mut leased = lease::find(tx, machine.workspace)
        .await?
        .ok_or(Error::NotFound("workspace"))?;
    forget(tx, &mut machine, &mut leased, at).await
}

/// Drops a parked machine, unless runs are to go on in it.
async fn forget(
    tx: &mut Tx,
    machine: &mut MachineRow,
    leased: &mut Leased,
    at: Moment,
) -> Result<()> {
    if !runs::active_in(tx, machine.workspace).await?.is_empty() {
        return Ok(());
    }
    if machine.touched {
        // Somebody wrote to its files: it is woken for its end, which captures them.
        tx.hint(Hint::Queue);
        return Ok(());
    }
    // It has no runs to lose.
    let loss = Loss::Worker;
    Box::pin(apply(tx, machine, leased, Command::Forget, &loss, at))
        .await
        .map(drop)
}

async fn all_runs(
    tx: &mut Tx,
    machine: &MachineRow,
    command: &run::Command,
    at: Moment,
) -> Result<()> {
    let runs = runs::active_in(tx, machine.workspace).await?;
    for (mut run, part) in runs.into_iter().zip(0..) {
        runs::apply(tx, &mut run, command.clone(), at.part(part)).await?;
    }
    Ok(())
}

/// Sets the runs aside that joined a machine whose wake failed; the waiting ones never left their place.
async fn running_move(tx: &mut Tx, machine: &MachineRow, at: Moment) -> Result<()> {
    for mut run in runs::active_in(tx, machine.workspace).await? {
        if run.run.state.status() == run::Status::Running {
            runs::apply(tx, &mut run, run::Command::Park, at).await?;
        }
    }
    Ok(())
}

async fn release(tx: &mut Tx, leased: &mut Leased, at: Moment) -> Result<()> {
    match leased.lease.state {
        LeaseState::Held { worker, .. } => {
            let command = lease_domain::Command::Release {
                worker,
                epoch: leased.lease.epoch,
            };
            lease::apply(tx, leased, command, at).await.map(drop)
        }
        // The reaper took it back already.
        LeaseState::Released | LeaseState::Expired => Ok(()),
    }
}
