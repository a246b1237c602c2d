//! Which worker asks.

use axum::extract::FromRequestParts;
use helmr_domain::{Epoch, RunId, WorkerId, WorkspaceId};
use helmr_store::worker::{Fence, RunFence};
use http::request::Parts;

use crate::credential::{self, Kind};
use crate::http::caller::{bearer, invalid};
use crate::{ApiError, Control};

/// The bearer of a worker's credential.
pub(super) struct WorkerCaller {
    pub(super) id: WorkerId,
}

impl FromRequestParts<Control> for WorkerCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, control: &Control) -> Result<Self, ApiError> {
        let bearer = bearer(&parts.headers)?;
        if credential::kind_of(&bearer) != Some(Kind::Worker) {
            return Err(invalid("this route takes a worker's credential"));
        }
        let hash = credential::hash(&control.installation.keys, Kind::Worker, &bearer);
        let id = control
            .worker_of(hash)
            .await?
            .ok_or_else(|| invalid("the worker's credential is not known here"))?;
        Ok(Self { id })
    }
}

impl WorkerCaller {
    /// The lease under which this worker says it writes. The store checks it.
    pub(super) fn fence(&self, workspace_id: WorkspaceId, epoch: u64) -> Fence {
        Fence {
            worker_id: self.id,
            workspace_id,
            epoch: Epoch::new(epoch),
        }
    }

    pub(super) fn run_fence(
        &self,
        workspace_id: WorkspaceId,
        epoch: u64,
        run_id: RunId,
        attempt: u32,
    ) -> RunFence {
        RunFence {
            lease: self.fence(workspace_id, epoch),
            run_id,
            attempt,
        }
    }
}
