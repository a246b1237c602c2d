//! `machine.json`: what a worker notes of a machine before each step that leaves something behind, so that the next
//! worker knows what to adopt and what to clean.
//!
//! A note survives the death of the process. Only [`Phase::Parking`] must survive a power cut too, before the image is
//! committed: from then on the image is all that there is of the machine. After a power cut every other machine is gone
//! anyway.

use std::io;

use helmr_domain::{CheckpointId, MaterializationId, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::directory::{Durability, MachineDir, read_json, write_json};
use crate::relay::Names;

/// What is known of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) workspace_id: WorkspaceId,
    pub(crate) materialization_id: MaterializationId,
    pub(crate) epoch: u64,
    /// Of the newest start or restore; 0 before the first. Only grows.
    pub(crate) attempt: u32,
    pub(crate) phase: Phase,
    /// Of a copy of another machine: what runs are called inside.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub(crate) names: Names,
}

/// What the worker was about to do, or has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Attempt `Record::attempt` is being started.
    Starting,
    /// It runs. `confirmed`: the control plane knows; `restored_from`: the image that it came from, while that exists.
    Live {
        confirmed: bool,
        restored_from: Option<CheckpointId>,
    },
    /// It is paused or about to be, and an image may be under way.
    Parking { checkpoint_id: CheckpointId },
    /// Its image is all there is of it.
    Parked { checkpoint_id: CheckpointId },
    /// Attempt `Record::attempt` is being restored from the image.
    Restoring { checkpoint_id: CheckpointId },
    /// It ends for good; its files are captured.
    Stopping,
    /// It is a copy of a machine that is live, and may be committed or not.
    Forked { checkpoint_id: CheckpointId },
}

impl Phase {
    /// The memory image that this phase must not lose.
    pub(crate) fn checkpoint(&self) -> Option<CheckpointId> {
        match self {
            Self::Parking { checkpoint_id }
            | Self::Parked { checkpoint_id }
            | Self::Restoring { checkpoint_id }
            | Self::Forked { checkpoint_id } => Some(*checkpoint_id),
            Self::Live { restored_from, .. } => *restored_from,
            Self::Starting | Self::Stopping => None,
        }
    }
}

impl Record {
    pub(crate) fn write(&self, directory: &MachineDir) -> io::Result<()> {
        write_json(&directory.record(), self, Durability::Process)
    }

    /// Writes it so that it survives a power cut.
    pub(crate) fn write_durably(&self, directory: &MachineDir) -> io::Result<()> {
        write_json(&directory.record(), self, Durability::PowerCut)
    }

    pub(crate) fn read(directory: &MachineDir) -> Result<Option<Self>, Error> {
        read_json(&directory.record())
    }
}

#[cfg(test)]
mod tests {
    use helmr_domain::Timestamp;

    use super::*;

    #[test]
    fn a_record_reads_back_and_a_torn_one_says_so() -> anyhow::Result<()> {
        let scratch = tempfile::tempdir()?;
        let directory = MachineDir {
            path: scratch.path().to_owned(),
        };
        assert_eq!(Record::read(&directory)?, None);
        let at = Timestamp::from_micros(1_000_000);
        let record = Record {
            workspace_id: WorkspaceId::new(at, [1; 10]),
            materialization_id: MaterializationId::new(at, [2; 10]),
            epoch: 7,
            attempt: 3,
            phase: Phase::Parking {
                checkpoint_id: CheckpointId::new(at, [3; 10]),
            },
            names: Names::default(),
        };
        record.write(&directory)?;
        assert_eq!(Record::read(&directory)?, Some(record));
        std::fs::write(directory.record(), b"{\"workspace_id\":")?;
        assert!(matches!(
            Record::read(&directory),
            Err(Error::Unreadable { .. })
        ));
        Ok(())
    }
}
