//! A run's status, told from its events alone.

use super::Status;
use crate::EventKind;

/// Replays a run's events, oldest first. `None` before its creation.
#[must_use]
pub fn status_after(events: impl IntoIterator<Item = EventKind>) -> Option<Status> {
    let mut status = None;
    for event in events {
        status = match event {
            EventKind::RunCreated | EventKind::RunQueued | EventKind::RunRetryScheduled => {
                Some(Status::Queued)
            }
            EventKind::RunLeased
            | EventKind::RunStarted
            | EventKind::RunResumed
            | EventKind::RunMoving => Some(Status::Running),
            EventKind::RunWaiting => Some(Status::Waiting),
            EventKind::RunSucceeded => Some(Status::Succeeded),
            EventKind::RunFailed => Some(Status::Failed),
            EventKind::RunCancelled => Some(Status::Cancelled),
            EventKind::RunExpired => Some(Status::Expired),
            EventKind::RunParked
            | EventKind::RunCancelRequested
            | EventKind::RunWorkerLost
            | EventKind::WaitCreated
            | EventKind::WaitResolved
            | EventKind::WaitTimedOut
            | EventKind::WaitCancelled
            | EventKind::WaitFailed
            | EventKind::SessionOpened
            | EventKind::SessionClosed
            | EventKind::SessionCancelled
            | EventKind::SessionExpired
            | EventKind::StreamInput
            | EventKind::StreamOutput
            | EventKind::TokenCreated
            | EventKind::TokenCompleted
            | EventKind::TokenExpired
            | EventKind::TokenCancelled
            | EventKind::Log
            | EventKind::MetadataUpdated
            | EventKind::WorkspaceVersion
            | EventKind::WorkspaceAttached
            | EventKind::DeploymentQueued
            | EventKind::DeploymentBuilding
            | EventKind::DeploymentDeployed
            | EventKind::DeploymentFailed
            | EventKind::DeploymentPromoted
            | EventKind::NetworkDenied => status,
        };
    }
    status
}
