//! Workspaces and versions as clients see them.

use helmr_api::http::value::Span;
use helmr_api::http::workspaces::{
    Materialization, MaterializationState, Version, VersionKind, Workspace, WorkspaceAnswer,
    WorkspaceState,
};
use helmr_domain::VersionId;
use helmr_store::workspaces::{Machine, State, Version as VersionRow, Workspace as Row};

use crate::ops::deployments::DEFAULT_SANDBOX;

const RECOVERY: &str =
    "its files may be newer on a worker that is lost: wait for it, or go on from the last version";

const ARCHIVED: &str = "it is archived: what is to run in it waits until it is unarchived";

pub(crate) fn answer(row: &Row) -> WorkspaceAnswer {
    WorkspaceAnswer {
        workspace: workspace(row),
    }
}

pub(crate) fn workspace(row: &Row) -> Workspace {
    let (state, blocked) = match row.state {
        State::Active => (WorkspaceState::Active, None),
        State::Archived => (WorkspaceState::Archived, Some(ARCHIVED.to_owned())),
        State::RecoveryRequired => (WorkspaceState::RecoveryRequired, Some(RECOVERY.to_owned())),
        State::Deleted => (WorkspaceState::Deleted, None),
    };
    Workspace {
        id: row.id,
        external_id: row.external_id.clone(),
        sandbox: (row.sandbox != DEFAULT_SANDBOX).then(|| row.sandbox.clone()),
        deployment_id: row.deployment_id,
        state,
        mount_path: row.mount_path.clone(),
        current_version_id: row.current_version_id,
        size_bytes: row.size_bytes,
        metadata: row.metadata.clone(),
        tags: row.tags.clone(),
        auto_stop_after: row.auto_stop_after.map(Span),
        last_activity_at: row.last_activity_at.into(),
        created_at: row.created_at.into(),
        materialization: row.machine.as_ref().map(materialization),
        placement_reason: blocked.or_else(|| row.placement_reason.clone()),
        machine_requested_at: row.machine_wanted_at.map(Into::into),
    }
}

fn materialization(row: &Machine) -> Materialization {
    Materialization {
        id: row.id,
        state: state(&row.state),
        reason: row.failure.clone(),
        stop_requested: row.ending,
        worker_id: row.worker_id,
        driver: row.driver.clone(),
        checkpoint_size_bytes: row.checkpoint_size_bytes,
        requested_at: row.requested_at.into(),
        started_at: row.live_at.map(Into::into),
        parked_at: row.parked_at.map(Into::into),
        ended_at: row.ended_at.map(Into::into),
    }
}

fn state(text: &str) -> MaterializationState {
    match text {
        "preparing" => MaterializationState::Preparing,
        "live" => MaterializationState::Live,
        "parking" => MaterializationState::Parking,
        "parked" => MaterializationState::Parked,
        "resuming" => MaterializationState::Resuming,
        "stopping" => MaterializationState::Stopping,
        "stopped" => MaterializationState::Stopped,
        "lost" => MaterializationState::Lost,
        "failed" => MaterializationState::Failed,
        // The store writes no other.
        _ => MaterializationState::Requested,
    }
}

pub(crate) fn version(row: &VersionRow, current: Option<VersionId>) -> Version {
    Version {
        id: row.id,
        workspace_id: row.workspace_id,
        parent_id: row.parent_id,
        kind: match row.kind.as_str() {
            "image" => VersionKind::Image,
            "manual" => VersionKind::Manual,
            "fork" => VersionKind::Fork,
            "restore" => VersionKind::Restore,
            // The store's table allows no other.
            _ => VersionKind::Auto,
        },
        message: row.message.clone(),
        size_bytes: row.size_bytes,
        changed_bytes: row.changed_bytes,
        current: current == Some(row.id),
        created_at: row.created_at.into(),
    }
}
