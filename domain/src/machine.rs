//! A machine (a materialization): the live or parked processes of a workspace.

use crate::{CheckpointId, Decision, Refusal, Timestamp};

/// What a machine is made of. Fixed from one start to the next.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Spec {
    /// `sha256:…` of the EROFS root image.
    pub image_digest: String,
    /// Where the image's bytes are: a blob under the installation key.
    pub image_manifest: String,
    pub mount_path: String,
    pub cpu_millis: u32,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub processes: u32,
    /// `NAME=value` from image and sandbox.
    pub env: Vec<String>,
    /// Of the image; empty: root.
    pub user: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Wanted, and no worker has it yet.
    Requested,
    Preparing,
    Live,
    /// About to be paused; what happens meanwhile is dealt with after the park.
    Parking,
    Parked {
        checkpoint: CheckpointId,
    },
    Resuming {
        checkpoint: CheckpointId,
    },
    /// About to end for lack of work.
    Stopping,
    Stopped,
    /// Its worker was not heard of.
    Lost,
    Failed,
}

impl State {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Preparing => "preparing",
            Self::Live => "live",
            Self::Parking => "parking",
            Self::Parked { .. } => "parked",
            Self::Resuming { .. } => "resuming",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Lost => "lost",
            Self::Failed => "failed",
        }
    }

    /// Whether it is over: its workspace may have another.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        match self {
            Self::Stopped | Self::Lost | Self::Failed => true,
            Self::Requested
            | Self::Preparing
            | Self::Live
            | Self::Parking
            | Self::Parked { .. }
            | Self::Resuming { .. }
            | Self::Stopping => false,
        }
    }

    /// Whether a run may join it as it is, without another lease.
    #[must_use]
    pub const fn takes_runs(&self) -> bool {
        match self {
            Self::Preparing | Self::Live | Self::Resuming { .. } => true,
            Self::Requested
            | Self::Parking
            | Self::Parked { .. }
            | Self::Stopping
            | Self::Stopped
            | Self::Lost
            | Self::Failed => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// A worker has the lease.
    Place,
    /// Started, restored, or back from a park that failed.
    Live,
    /// `busy`: a run in it is not waiting, or an outcome is undelivered.
    BeginPark {
        busy: bool,
    },
    /// The checkpoint and the files are durable. `draining`: whatever its runs do.
    Park {
        checkpoint: CheckpointId,
        draining: bool,
    },
    /// `busy`: it has a run.
    BeginStop {
        busy: bool,
    },
    Stop {
        busy: bool,
    },
    /// `checkpoint_kept`: the checkpoint it was to be restored from can be tried again.
    Fail {
        checkpoint_kept: bool,
    },
    /// Its lease ran out.
    Lose,
    /// Nothing is to go on in it any more: it is not woken again.
    Forget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Runs in it go on, and their clocks.
    RunsGoOn,
    /// Runs in it are set aside.
    RunsParked,
    /// Runs that joined it while it was waking wait for the next wake.
    RunsMove,
    /// Runs in it have lost their attempt.
    RunsLost,
    /// Nobody acts for the workspace any more.
    ReleaseLease,
    /// Its memory lives on elsewhere, or not at all.
    DropCheckpoint(CheckpointId),
}

/// Says what `command` does to a machine in `state`. Reports repeat, so a state that is already reached is an answer.
///
/// # Errors
/// `MachineBusy` when it has work that forbids the step; `MachineNotInState` for a report out of order.
pub fn decide(
    state: State,
    command: Command,
    _now: Timestamp,
) -> Result<Decision<State, Effect>, Refusal> {
    use State::{
        Failed, Live, Lost, Parked, Parking, Preparing, Requested, Resuming, Stopped, Stopping,
    };
    let out_of_order = Err(Refusal::MachineNotInState {
        state: state.as_str(),
    });
    match (command, state) {
        (Command::Place, Requested) => Ok(Decision::to(Preparing)),
        (Command::Place, Parked { checkpoint }) => Ok(Decision::to(Resuming { checkpoint })),

        (Command::Live, Preparing | Parking | Stopping) => {
            Ok(Decision::to(Live).effect(Effect::RunsGoOn))
        }
        (Command::Live, Resuming { checkpoint }) => Ok(Decision::to(Live)
            .effect(Effect::RunsGoOn)
            .effect(Effect::DropCheckpoint(checkpoint))),
        (Command::Live, Live) => Ok(Decision::unchanged()),

        (Command::BeginPark { busy: true }, Live)
        | (Command::BeginStop { busy: true }, Live | Preparing | Parking)
        | (Command::Stop { busy: true }, Preparing | Live | Parking | Stopping) => {
            Err(Refusal::MachineBusy)
        }
        (Command::BeginPark { busy: false }, Live) => Ok(Decision::to(Parking)),
        (Command::BeginPark { .. }, Parking) => Ok(Decision::unchanged()),

        (Command::Park { checkpoint, .. }, Parking)
        | (
            Command::Park {
                checkpoint,
                draining: true,
            },
            Live,
        ) => Ok(Decision::to(Parked { checkpoint })
            .effect(Effect::RunsParked)
            .effect(Effect::ReleaseLease)),

        // Parking: its worker has given the park up, or never began it, and that word has not come.
        (Command::BeginStop { busy: false }, Live | Preparing | Parking) => {
            Ok(Decision::to(Stopping))
        }
        (Command::BeginStop { .. }, Stopping) => Ok(Decision::unchanged()),
        (Command::Stop { busy: false }, Preparing | Live | Parking | Stopping) => {
            Ok(Decision::to(Stopped).effect(Effect::ReleaseLease))
        }
        (Command::Stop { .. }, Stopped) => Ok(Decision::unchanged()),

        // Nothing happened in it since the checkpoint: it can be woken again.
        (
            Command::Fail {
                checkpoint_kept: true,
            }
            | Command::Lose,
            Resuming { checkpoint },
        ) => Ok(Decision::to(Parked { checkpoint })
            .effect(Effect::RunsMove)
            .effect(Effect::ReleaseLease)),
        (Command::Fail { .. }, Preparing | Live | Parking | Stopping) => Ok(Decision::to(Failed)
            .effect(Effect::RunsLost)
            .effect(Effect::ReleaseLease)),
        (
            Command::Fail {
                checkpoint_kept: false,
            },
            Resuming { checkpoint },
        ) => Ok(Decision::to(Failed)
            .effect(Effect::RunsLost)
            .effect(Effect::ReleaseLease)
            .effect(Effect::DropCheckpoint(checkpoint))),
        (Command::Lose, Preparing | Live | Parking | Stopping) => {
            Ok(Decision::to(Lost).effect(Effect::RunsLost))
        }
        (Command::Lose, Parked { .. } | Requested | Stopped | Lost | Failed)
        | (Command::Fail { .. }, Failed)
        | (Command::Forget, Stopped | Lost | Failed) => Ok(Decision::unchanged()),
        // Nobody holds its lease, and its files are those of its last version.
        (Command::Forget, Parked { checkpoint }) => {
            Ok(Decision::to(Stopped).effect(Effect::DropCheckpoint(checkpoint)))
        }

        (Command::Place, Preparing | Live | Parking | Resuming { .. } | Stopping)
        | (Command::Place, Stopped | Lost | Failed)
        | (Command::Live, Requested | Parked { .. } | Stopped | Lost | Failed)
        | (
            Command::BeginPark { .. },
            Requested
            | Preparing
            | Parked { .. }
            | Resuming { .. }
            | Stopping
            | Stopped
            | Lost
            | Failed,
        )
        | (
            Command::Park { .. },
            Requested
            | Preparing
            | Live
            | Parked { .. }
            | Resuming { .. }
            | Stopping
            | Stopped
            | Lost
            | Failed,
        )
        | (
            Command::BeginStop { .. },
            Requested | Parked { .. } | Resuming { .. } | Stopped | Lost | Failed,
        )
        | (Command::Stop { .. }, Requested | Parked { .. } | Resuming { .. } | Lost | Failed)
        | (Command::Fail { .. }, Requested | Parked { .. } | Stopped | Lost)
        | (Command::Forget, Requested | Preparing | Live | Parking | Resuming { .. } | Stopping) => {
            out_of_order
        }
    }
}

#[cfg(test)]
mod tests;
