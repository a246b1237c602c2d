//! A machine ends, or its files are captured.

use helmr_domain::machine::{Command, State};
use helmr_domain::run::Backoff;
use helmr_domain::timer::Purpose;
use helmr_domain::{Duration, Failure, FailureKind, Moment, exec, limits};
use serde_json::json;

use super::live::no_loss;
use super::{Captured, Failed, MachineReport, Stopped, fenced, reported};
use crate::db::Tx;
use crate::machine::{self, Loss, MachineRow};
use crate::{Result, Store, execs, forks, runs, timers, workspaces};

/// Between wakes of a machine that fail.
const WAKES: Backoff = Backoff {
    min: Duration::from_millis(500),
    max: Duration::from_secs(10),
    factor_percent: 300,
    jitter: false,
};

/// It is about to end for lack of work.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy` while it has a run, `MachineNotInState`.
pub async fn machine_stopping(store: &Store, input: MachineReport) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (mut machine, mut leased) = fenced(tx, input.fence).await?;
                let command = Command::BeginStop {
                    busy: has_runs(tx, &machine, input.at).await?,
                };
                machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at)
                    .await?;
                Ok(())
            })
        })
        .await
}

async fn has_runs(tx: &mut Tx, machine: &MachineRow, at: Moment) -> Result<bool> {
    let active = runs::active_in(tx, machine.workspace).await?;
    // Runs that are about to join keep it, but not one that is stopping already.
    let joining = machine.state.takes_runs()
        && !machine.ending
        && !runs::leasable_in(tx, machine.workspace, at)
            .await?
            .is_empty();
    // One that waits for the next machine would wait for ever if it kept this one.
    let execs = execs::active_in(tx, machine.workspace).await?;
    let inside = execs
        .iter()
        .any(|exec| !machine.ending || exec.state != exec::State::Queued);
    let wanted = forks::wants(tx, machine.workspace).await?;
    Ok(!active.is_empty() || joining || inside || wanted)
}

/// It ended, and its files are durable. The lease is released.
///
/// # Errors
/// `Stale`; `Refused`: `MachineBusy`, `MachineNotInState`.
pub async fn machine_stopped(store: &Store, input: Stopped) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(stopped_in(tx, input)))
        .await
}

async fn stopped_in(tx: &mut Tx, input: &Stopped) -> Result<()> {
    let before = reported(tx, input.fence).await?;
    if before.is_some_and(|machine| machine.state == State::Stopped) {
        return Ok(());
    }
    let (mut machine, mut leased) = fenced(tx, input.fence).await?;
    let command = Command::Stop {
        busy: !runs::active_in(tx, machine.workspace).await?.is_empty(),
    };
    if let Some(version) = &input.version {
        workspaces::record_version(tx, &mut leased, &machine, version, input.at).await?;
    }
    machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at).await?;
    Ok(())
}

/// It could not be made or is gone, and nothing of it is left on the worker. Runs that never started are dispatched
/// again; a machine whose checkpoint is good is parked as before.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_failed(store: &Store, input: Failed) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(failed_in(tx, input)))
        .await
}

async fn failed_in(tx: &mut Tx, input: &Failed) -> Result<()> {
    let before = reported(tx, input.fence).await?;
    if before.is_some_and(|machine| machine.state == State::Failed) {
        return Ok(());
    }
    let (mut machine, mut leased) = fenced(tx, input.fence).await?;
    if let Some(version) = &input.version {
        workspaces::record_version(tx, &mut leased, &machine, version, input.at).await?;
        workspaces::fulfil_captures(tx, &mut leased, input.at).await?;
    }
    machine.failure = Some(json!({"kind": input.kind, "message": input.message}));
    // A checkpoint that has failed too often is useless.
    let checkpoint_kept = input.checkpoint_kept && machine.failed_wakes + 1 < limits::RESTORES;
    let command = Command::Fail { checkpoint_kept };
    let loss = Loss::Machine(Failure::new(kind_of(&input.kind), input.message.as_str()));
    machine::apply(tx, &mut machine, &mut leased, command, &loss, input.at).await?;
    if matches!(machine.state, State::Parked { .. }) {
        hold_off(tx, &mut machine, input.at).await?;
    }
    Ok(())
}

/// Lets some time pass before the next wake.
async fn hold_off(tx: &mut Tx, machine: &mut MachineRow, at: Moment) -> Result<()> {
    machine.failed_wakes += 1;
    machine.not_before = at.now.after(WAKES.after(machine.failed_wakes, at.random()));
    machine::save(tx, machine).await?;
    let purpose = Purpose::MachineNotBefore;
    timers::arm(tx, purpose, &machine.id, machine.not_before).await
}

/// What a machine's failure is to a run in it.
fn kind_of(text: &str) -> FailureKind {
    match text {
        "image_failed" => FailureKind::ImageFailed,
        "out_of_memory" => FailureKind::OutOfMemory,
        "disk_full" => FailureKind::DiskFull,
        // `sandbox_failed`, `restore_failed`, `machine_died`, and what a later worker may say.
        _ => FailureKind::SandboxFailed,
    }
}

/// Its files were captured while it lives on.
///
/// # Errors
/// `Stale`.
pub async fn version_captured(store: &Store, input: Captured) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (mut machine, mut leased) = fenced(tx, input.fence).await?;
                let captured = (&input.version, input.asked.as_slice());
                workspaces::record_asked(tx, &mut leased, &machine, captured, input.at).await?;
                if matches!(machine.state, State::Resuming { .. }) {
                    // Those are what was written while it was parked, and nothing runs yet.
                    machine::set_touched(tx, &mut machine, false).await?;
                }
                Ok(())
            })
        })
        .await
}
