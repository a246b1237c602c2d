//! The files of a workspace as they are now, wherever they are: stored so that they can be read like those of a version.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::worker::{CaptureFiles, FilesCaptured};
use helmr_artifacts::ManifestId;
use helmr_domain::{VersionId, WorkerId, WorkspaceId};
use helmr_store::worker::CapturedVersion;
use helmr_store::workspaces::{self, Workspace};
use http::{Method, StatusCode};

use crate::hub::Error;
use crate::state::Environment;
use crate::{ApiError, Control, refusal};

/// Reading what changed in a tree takes as long as its disk does.
const DEADLINE: Duration = Duration::from_secs(120);

/// What a worker has stored.
pub(crate) struct Stored {
    pub(crate) manifest: String,
    pub(crate) size_bytes: u64,
    pub(crate) changed_bytes: u64,
    /// Whether it was written to from outside while its machine was parked.
    pub(crate) edited: bool,
}

impl Stored {
    /// A version that nobody has written down yet.
    pub(crate) fn into_version(self, control: &Control) -> Result<CapturedVersion, ApiError> {
        let at = control.moment()?;
        Ok(CapturedVersion {
            version_id: at.ids().make(VersionId::new),
            manifest: self.manifest,
            size_bytes: self.size_bytes,
            changed_bytes: self.changed_bytes,
        })
    }
}

impl From<FilesCaptured> for Stored {
    fn from(captured: FilesCaptured) -> Self {
        Self {
            manifest: captured.manifest,
            size_bytes: captured.size_bytes,
            changed_bytes: captured.changed_bytes,
            edited: captured.edited,
        }
    }
}

/// Has a worker store the files that lie on its disk. `None` if it has none of that workspace.
///
/// # Errors
/// `worker_unavailable`.
pub(crate) async fn ask_worker(
    control: &Control,
    environment: &Environment,
    workspace: WorkspaceId,
    worker: WorkerId,
) -> Result<Option<Stored>, ApiError> {
    let path = format!("/v1/workspaces/{workspace}/capture");
    let body = CaptureFiles {
        data_key: STANDARD.encode(environment.key.expose()),
    };
    control.hub.await_connected(worker).await;
    let asked = control
        .hub
        .call::<_, FilesCaptured>(worker, Method::POST, &path, &body, DEADLINE)
        .await;
    match asked {
        Ok(captured) => Ok(Some(captured.into())),
        Err(Error::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
        Err(Error::NotConnected) => Err(ApiError::new(
            Code::WorkerUnavailable,
            "the worker that has the workspace's newest files is not connected",
        )),
        Err(error) => Err(ApiError::unavailable(
            Code::WorkerUnavailable,
            "the worker that has the workspace's newest files did not store them",
            &error,
        )),
    }
}

/// What a comparison or a reader is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Version(VersionId),
    /// The files as they are now.
    Now,
    /// Those of the workspace's current version, or of its image if it has none.
    Last,
}

/// The manifest of some files of a workspace. `None`: it has none yet.
///
/// # Errors
/// `version_not_found`, `worker_unavailable`.
pub(crate) async fn manifest_of(
    control: &Control,
    environment: &Environment,
    workspace: &Workspace,
    which: Which,
) -> Result<Option<ManifestId>, ApiError> {
    let scope = environment.row.scope;
    let text = match which {
        Which::Version(id) => {
            let version = workspaces::version(&control.store, scope, workspace.id, id).await?;
            Some(
                version
                    .ok_or_else(|| refusal::not_found("version"))?
                    .manifest,
            )
        }
        Which::Last => workspaces::last_files(&control.store, scope, workspace.id).await?,
        Which::Now => match at_work(workspace) {
            Some(worker) => match ask_worker(control, environment, workspace.id, worker).await? {
                Some(stored) => Some(stored.manifest),
                None => workspaces::last_files(&control.store, scope, workspace.id).await?,
            },
            None => workspaces::last_files(&control.store, scope, workspace.id).await?,
        },
    };
    text.map(|text| text.parse().map_err(|error| ApiError::internal(&error)))
        .transpose()
}

/// The worker on whose disk the files may be newer than those of the current version.
fn at_work(workspace: &Workspace) -> Option<WorkerId> {
    let machine = workspace.machine.as_ref()?;
    let newer = !machine.superseded
        && matches!(
            machine.state.as_str(),
            "live" | "parking" | "parked" | "stopping"
        );
    newer.then_some(machine.worker_id)
}
