//! What happens to execs, committed with what it means for their machine.

use helmr_domain::exec::{Command, Effect, End, State, decide};
use helmr_domain::timer::Purpose;
use helmr_domain::{Duration, Moment, ProcessId, Scope, WorkspaceId};

use super::{Create, Exec, row};
use crate::db::Tx;
use crate::idempotency::{self, Kept, Origin};
use crate::{Hint, Result, Store, machine, outbox, quotas, timers, workspaces};

const SIGTERM: i32 = 15;
const SIGKILL: i32 = 9;
/// Between the signal that ends an exec politely and the one that ends it.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// Makes an exec. It goes into the workspace's machine at once if there is a live one, and asks for one if there is none.
///
/// # Errors
/// `NotFound`; `Refused`: `WorkspaceNotActive`, `IdempotencyKeyReused`, `QuotaExceeded`.
pub async fn create(store: &Store, input: Create) -> Result<Kept<Exec>> {
    store
        .write(input, |tx, input| Box::pin(create_in(tx, input)))
        .await
}

async fn create_in(tx: &mut Tx, input: &Create) -> Result<Kept<Exec>> {
    let (scope, at) = (input.scope, input.at);
    let origin = Origin::Client(input.idempotency.clone());
    if let Some(kept) = idempotency::replayed(tx, scope, &origin, at).await? {
        return Ok(kept);
    }
    workspaces::check_usable(tx, scope, input.workspace).await?;
    quotas::check_work(tx, scope).await?;
    let id = input.id;
    row::insert(tx, input).await?;
    workspaces::touch(tx, input.workspace, at).await?;
    match machine::current(tx, input.workspace).await? {
        Some(machine) if machine.state.takes_runs() && !machine.ending => {
            lease_queued(tx, input.workspace, at).await?;
            outbox::mark(tx, input.workspace, at).await?;
        }
        Some(_) | None => tx.hint(Hint::Queue),
    }
    let exec = row::find(tx, id).await?.ok_or_else(|| row::missing(id))?;
    idempotency::keep(tx, scope, origin, exec, at).await
}

/// Sends a signal. One that has ended takes none.
///
/// # Errors
/// `NotFound`.
pub async fn signal(
    store: &Store,
    scope: Scope,
    id: ProcessId,
    signal: i32,
    at: Moment,
) -> Result<Exec> {
    store
        .write((scope, id, signal, at), |tx, input| {
            let (scope, id, signal, at) = *input;
            Box::pin(async move {
                let mut exec = row::find_in(tx, scope, id)
                    .await?
                    .ok_or_else(|| row::missing(id))?;
                apply(tx, &mut exec, Command::Signal { signal }, at).await?;
                Ok(exec)
            })
        })
        .await
}

/// Decides and saves. Answers whether anything changed.
pub(super) async fn apply(
    tx: &mut Tx,
    exec: &mut Exec,
    command: Command,
    at: Moment,
) -> Result<bool> {
    let decision = decide(&exec.state, command, at.now);
    if let Some(Effect::SendSignal { signal }) = decision.effect {
        exec.signals.push(signal);
        outbox::mark(tx, exec.workspace_id, at).await?;
    } else if decision.next.is_none() {
        return Ok(false);
    }
    if let Some(next) = decision.next {
        exec.state = next;
        if let State::Running { since } = exec.state {
            exec.started_at = Some(since);
            if let Some(timeout) = exec.timeout {
                timers::arm(tx, Purpose::ExecTimeout, &exec.id, since.after(timeout)).await?;
            }
        }
        if exec.state.is_final() {
            exec.ended_at = Some(at.now);
            timers::disarm(tx, Purpose::ExecTimeout, &exec.id).await?;
            workspaces::touch(tx, exec.workspace_id, at).await?;
            // Its machine may have nothing left to do.
            outbox::mark(tx, exec.workspace_id, at).await?;
        }
    }
    row::save(tx, exec).await?;
    tx.hint(Hint::Process(exec.id));
    Ok(true)
}

/// The timer: politely first, and with force when that did not help. A PTY was hung up before.
pub(crate) async fn expire(tx: &mut Tx, id: ProcessId, at: Moment) -> Result<()> {
    let Some(mut exec) = row::find(tx, id).await? else {
        return Ok(());
    };
    let was_told = exec.timed_out || exec.pty.is_some();
    let signal = if was_told { SIGKILL } else { SIGTERM };
    exec.timed_out = exec.pty.is_none();
    if apply(tx, &mut exec, Command::Signal { signal }, at).await? {
        timers::arm(tx, Purpose::ExecTimeout, &id, at.now.after(GRACE)).await?;
    }
    Ok(())
}

/// Those that are in the workspace's machine or ask for one.
pub(crate) async fn active_in(tx: &mut Tx, workspace: WorkspaceId) -> Result<Vec<Exec>> {
    row::active(tx, workspace).await
}

/// Whether something there keeps its machine from parking.
pub(crate) async fn any_awake(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool> {
    let active = row::active(tx, workspace).await?;
    Ok(active.iter().any(|exec| !exec.is_idle()))
}

/// Whether something there asks for a machine.
pub(crate) async fn has_queued(tx: &mut Tx, workspace: WorkspaceId) -> Result<bool> {
    let active = row::active(tx, workspace).await?;
    Ok(active.iter().any(|exec| exec.state == State::Queued))
}

/// Gives what is queued to the workspace's machine. Answers how many.
pub(crate) async fn lease_queued(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<usize> {
    all(tx, workspace, &Command::Lease, at).await
}

/// The machine is gone. What was to be killed in it is.
pub(crate) async fn lose_in(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    for mut exec in row::active(tx, workspace).await? {
        let command = if exec.signals.contains(&SIGKILL) {
            Command::End(End::Killed { signal: SIGKILL })
        } else {
            Command::Lose
        };
        apply(tx, &mut exec, command, at).await?;
    }
    Ok(())
}

/// Ends what runs in the workspace's machine, with force.
pub(crate) async fn kill_in(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    let signal = SIGKILL;
    all(tx, workspace, &Command::Signal { signal }, at)
        .await
        .map(drop)
}

/// Ends what waits for a machine that it is not to have.
pub(crate) async fn kill_queued_in(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    for mut exec in row::active(tx, workspace).await? {
        if exec.state == State::Queued {
            let signal = SIGKILL;
            apply(tx, &mut exec, Command::Signal { signal }, at).await?;
        }
    }
    Ok(())
}

async fn all(tx: &mut Tx, workspace: WorkspaceId, command: &Command, at: Moment) -> Result<usize> {
    let mut changed = 0;
    for mut exec in row::active(tx, workspace).await? {
        if apply(tx, &mut exec, command.clone(), at).await? {
            changed += 1;
        }
    }
    Ok(changed)
}
