//! Files that a machine of this worker wrote before it was lost, kept as a version beside those that went on without them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::worker::{Beside, KeepBeside, Nothing};
use helmr_artifacts::{DataKey, KeySet};
use helmr_domain::WorkspaceId;
use helmr_machine::Driver;

use crate::base::Base;
use crate::client::Client;
use crate::disks::Need;
use crate::workspace::Workspace;

/// Captures the files of a workspace that nobody here holds, and tells. What fails is tried again later.
pub(super) async fn keep<D: Driver>(base: &Arc<Base<D>>, keep: KeepBeside) {
    let id = keep.workspace_id;
    let keys = STANDARD
        .decode(&keep.data_key)
        .ok()
        .and_then(|bytes| DataKey::from_bytes(&bytes))
        .map(|key| KeySet::derive(&key));
    let Some(keys) = keys else {
        tracing::error!(workspace.id = %id, "the environment's key is not a key");
        return;
    };
    let disks = Arc::clone(&base.disks);
    let place = tokio::task::spawn_blocking(move || disks.place(id, Need::AsItIs)).await;
    let place = match place {
        Ok(Ok(place)) => place,
        Ok(Err(error)) => {
            tracing::error!(workspace.id = %id, %error, "files of a lost machine cannot be read");
            return;
        }
        Err(_) => return,
    };
    let directory = base.directory.workspace(id);
    let mut workspace = Workspace::open(directory, place, base.artifacts.clone(), keys);
    capture(&base.client, id, &mut workspace).await;
}

/// Captures files that may be newer than every version, and has them kept beside. Afterwards they count as known.
pub(crate) async fn capture(client: &Client, id: WorkspaceId, workspace: &mut Workspace) {
    if !workspace.holds_newer() {
        return;
    }
    let parent = workspace.base_version();
    let version = match workspace.capture().await {
        Ok(version) => version,
        Err(error) => {
            tracing::error!(workspace.id = %id, error = crate::serve::describe(&error), "files of a lost machine were not captured");
            return;
        }
    };
    if workspace.settle_if_unchanged(&version) {
        return;
    }
    let body = Beside {
        parent,
        version: version.clone(),
    };
    let told: Result<Nothing, _> = client
        .post(&format!("/worker/v1/workspaces/{id}/beside"), &body)
        .await;
    match told {
        Ok(Nothing {}) => {
            tracing::info!(workspace.id = %id, version.id = %version.version_id, "files of a lost machine are kept as a version beside");
            workspace.settle(&version);
            workspace.save_index();
        }
        Err(failure) => {
            tracing::warn!(workspace.id = %id, %failure, "files of a lost machine were not taken");
        }
    }
}
