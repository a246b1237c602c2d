//! What happens to the terminals of PTYs.

use helmr_domain::exec::{Command as ProcessCommand, State};
use helmr_domain::pty::{Command, Effect, Size, decide};
use helmr_domain::timer::Purpose;
use helmr_domain::{Moment, ProcessId, PtyId, Scope};

use super::change::GRACE;
use super::report::{Fenced, fenced};
use super::{Exec, row};
use crate::db::Tx;
use crate::{Hint, Result, Store, outbox, timers};

const SIGHUP: i32 = 1;
const SIGCONT: i32 = 18;

/// Sets a PTY's size. Its programs are told also if it is the one it has: they draw anew.
///
/// # Errors
/// `NotFound`; `Refused(PtyEnded)`.
pub async fn resize(
    store: &Store,
    scope: Scope,
    id: PtyId,
    size: Size,
    at: Moment,
) -> Result<Exec> {
    command(store, scope, id, Command::Resize(size), at).await
}

/// Hangs a PTY up. One that has ended stays as it is.
///
/// # Errors
/// `NotFound`.
pub async fn close(store: &Store, scope: Scope, id: PtyId, at: Moment) -> Result<Exec> {
    command(store, scope, id, Command::Close, at).await
}

async fn command(
    store: &Store,
    scope: Scope,
    id: PtyId,
    command: Command,
    at: Moment,
) -> Result<Exec> {
    store
        .write((scope, ProcessId::from(id), command, at), |tx, input| {
            let (scope, id, command, at) = *input;
            Box::pin(async move {
                let mut exec = row::find_in(tx, scope, id)
                    .await?
                    .ok_or_else(|| row::missing(id))?;
                apply(tx, &mut exec, command, at).await?;
                Ok(exec)
            })
        })
        .await
}

/// Its machine tells whether it is idle.
///
/// # Errors
/// `Stale`.
pub async fn rests(store: &Store, fence: Fenced, idle: bool, at: Moment) -> Result<()> {
    store
        .write((fence, idle, at), |tx, input| {
            let (fence, idle, at) = *input;
            Box::pin(async move {
                let mut exec = fenced(tx, fence).await?;
                let pending = exec.stdin.end > exec.stdin.taken;
                apply(tx, &mut exec, Command::Rest { idle, pending }, at).await
            })
        })
        .await
}

/// Decides and saves, and follows up. An exec has no terminal.
pub(super) async fn apply(
    tx: &mut Tx,
    exec: &mut Exec,
    command: Command,
    at: Moment,
) -> Result<()> {
    let Some(pty) = &mut exec.pty else {
        return Ok(());
    };
    let decision = decide(pty, &exec.state, command)?;
    let Some(next) = decision.next else {
        return Ok(());
    };
    *pty = next;
    row::save_pty(tx, exec.id, &next).await?;
    for effect in decision.effects {
        match effect {
            Effect::Tell => outbox::mark(tx, exec.workspace_id, at).await?,
            Effect::Wake => tx.hint(Hint::Queue),
            Effect::HangUp => hang_up(tx, exec, at).await?,
        }
    }
    tx.hint(Hint::Process(exec.id));
    Ok(())
}

async fn hang_up(tx: &mut Tx, exec: &mut Exec, at: Moment) -> Result<()> {
    let has_process = exec.state != State::Queued;
    // What is stopped must go on to hear of it.
    for signal in [SIGHUP, SIGCONT] {
        super::change::apply(tx, exec, ProcessCommand::Signal { signal }, at).await?;
    }
    if has_process {
        timers::arm(tx, Purpose::ExecTimeout, &exec.id, at.now.after(GRACE)).await?;
    }
    Ok(())
}
