//! A machine is live.

use helmr_domain::machine::{Command, State};
use helmr_domain::{Failure, FailureKind};

use super::{MachineReport, fenced};
use crate::machine::{self, Loss};
use crate::{Error, Result, Store};

/// It started, was restored, or is back from a park that failed.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)`.
pub async fn machine_live(store: &Store, input: MachineReport) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (mut machine, mut leased) = fenced(tx, input.fence).await?;
                let command = Command::Live;
                machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// The park failed and it is live again.
///
/// # Errors
/// `Stale`; `Refused(MachineNotInState)` unless it was parking, or is live already.
pub async fn machine_unparked(store: &Store, input: MachineReport) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let (mut machine, mut leased) = fenced(tx, input.fence).await?;
                match machine.state {
                    State::Parking | State::Live => {}
                    State::Requested
                    | State::Preparing
                    | State::Parked { .. }
                    | State::Resuming { .. }
                    | State::Stopping
                    | State::Stopped
                    | State::Lost
                    | State::Failed => {
                        let state = machine.state.as_str();
                        let refusal = helmr_domain::Refusal::MachineNotInState { state };
                        return Err(Error::from(refusal));
                    }
                }
                let command = Command::Live;
                machine::apply(tx, &mut machine, &mut leased, command, &no_loss(), input.at)
                    .await?;
                Ok(())
            })
        })
        .await
}

/// For commands that lose nothing.
pub(super) fn no_loss() -> Loss {
    Loss::Machine(Failure::new(
        FailureKind::SandboxFailed,
        "the machine is gone",
    ))
}
