//! An attempt ends.

use helmr_domain::RunId;
use helmr_domain::run::{Command, State};
use helmr_domain::wait::Command as WaitCommand;

use super::{Finish, Finished};
use crate::db::Tx;
use crate::{Error, Result, Store, lease, runs, sessions, wait};

/// The attempt ended. The first end told counts. Answers the session's next run, if unread input started one with it.
///
/// # Errors
/// `Stale`.
pub async fn run_finished(store: &Store, input: Finish) -> Result<Option<RunId>> {
    store
        .write(input, |tx, input| Box::pin(finished_in(tx, input)))
        .await
}

async fn finished_in(tx: &mut Tx, input: &Finish) -> Result<Option<RunId>> {
    lease::check(tx, input.fence.lease).await?;
    let mut run = runs::find(tx, input.fence.run_id)
        .await?
        .filter(|run| run.run.workspace_id == input.fence.lease.workspace_id)
        .ok_or(Error::Stale)?;
    if run.run.state.attempt() != Some(input.fence.attempt) {
        // Told again: the run has ended, or its next attempt is due.
        return if input.fence.attempt <= run.attempt {
            Ok(None)
        } else {
            Err(Error::Stale)
        };
    }
    if give_back(tx, input).await? {
        // What it has read is less now.
        run = runs::find(tx, input.fence.run_id)
            .await?
            .ok_or(Error::Stale)?;
    }
    run.run.exit_code = input.exit_code;
    let command = match &input.finished {
        Finished::Succeeded { output } => Command::Succeed {
            output: output.clone(),
        },
        Finished::Failed(failure) => Command::Fail(failure.clone()),
        Finished::Stopped => Command::Stopped,
    };
    runs::apply(tx, &mut run, command, input.at).await?;
    if !matches!(run.run.state.state, State::Succeeded { .. }) {
        return Ok(None);
    }
    let session = sessions::find(tx, run.run.session_id).await?;
    Ok(session.and_then(|session| session.session.active_run))
}

/// Makes records unread that were delivered to the task when it had stopped taking any. Answers whether there were some.
async fn give_back(tx: &mut Tx, input: &Finish) -> Result<bool> {
    let fence = input.fence;
    let mut any = false;
    for call_no in &input.untaken {
        // The task's side says which: a call that was no wait has nothing to give.
        let found = wait::find_call(tx, fence.run_id, fence.attempt, *call_no).await?;
        if let Some(mut found) = found {
            any |= wait::apply(tx, &mut found, WaitCommand::GiveBack, input.at).await?;
        }
    }
    Ok(any)
}
