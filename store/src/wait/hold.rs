//! Waits that keep their run running.
//!
//! A run is `waiting` while a wait blocks it and nothing else in it is awake. `once` and `on` do not block: as long as one
//! of them is open the run stays `running` beside its blocking wait, its clock runs, and its machine does not park.

use helmr_domain::Moment;
use helmr_domain::run::{Command as RunCommand, State as RunState};
use helmr_domain::wait::{Command, State};

use super::row::{self, WaitRow};
use crate::Result;
use crate::db::Tx;
use crate::runs::{self, RunRow};

/// Puts a run where its waits say it is: `waiting` for the one that blocks it, or `running`.
pub(crate) async fn settle(tx: &mut Tx, run: &mut RunRow, at: Moment) -> Result<()> {
    if run.run.state.stop.is_some() {
        return Ok(());
    }
    match run.run.state.state {
        RunState::Running { attempt, .. } => {
            let open = row::undelivered(tx, run.run.workspace_id, run.run.id).await?;
            let blocking = open.iter().find(|wait| {
                wait.blocking && matches!(wait.wait.state, State::Hot | State::Parked)
            });
            let Some(wait) = blocking else {
                return Ok(());
            };
            if row::is_held(tx, run.run.id, attempt).await? {
                return Ok(());
            }
            if wait.created_at != at.now {
                row::set_idle(tx, wait.id, at).await?;
            }
            runs::apply(tx, run, RunCommand::Wait(wait.id), at).await?;
        }
        RunState::Waiting { attempt, .. } => {
            if row::is_held(tx, run.run.id, attempt).await? {
                runs::apply(tx, run, RunCommand::Hold, at).await?;
            }
        }
        RunState::Queued { .. }
        | RunState::Succeeded { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled { .. }
        | RunState::Expired { .. } => {}
    }
    Ok(())
}

/// The task waits for it no more, or is done with what it got. Answers whether no outcome came first.
pub(crate) async fn drop_wait(tx: &mut Tx, wait: &mut WaitRow, at: Moment) -> Result<bool> {
    let dropped = super::apply(tx, wait, Command::Drop, at).await?;
    if wait.holds {
        wait.holds = false;
        row::save(tx, wait, at).await?;
    }
    Ok(dropped)
}
