//! What a worker still has of workspaces and machines that nothing on it uses.

use axum::Json as Answer;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::worker::{Beside, Holdings, HoldingsAnswer, KeepBeside, Nothing};
use helmr_domain::WorkspaceId;
use helmr_store::worker;

use super::caller::WorkerCaller;
use super::machines::captured;
use crate::http::body::Json;
use crate::http::parameters::Path;
use crate::{ApiError, Control};

/// Of each kind, in one request.
const AT_MOST: usize = 200;

pub(super) async fn ask(
    State(control): State<Control>,
    caller: WorkerCaller,
    body: Json<Holdings>,
) -> Result<Answer<HoldingsAnswer>, ApiError> {
    let Holdings {
        workspaces,
        machines,
    } = body.value;
    if workspaces.len() > AT_MOST || machines.len() > AT_MOST {
        let message = format!("at most {AT_MOST} workspaces and {AT_MOST} machines");
        return Err(ApiError::new(Code::LimitExceeded, message));
    }
    let holdings = worker::Holdings {
        worker_id: caller.id,
        workspaces: workspaces
            .iter()
            .map(|files| (files.workspace_id, files.newer))
            .collect(),
        machines,
    };
    let found = worker::dispensable(&control.store, holdings).await?;
    let mut keep_beside = Vec::with_capacity(found.keep_beside.len());
    for (workspace_id, environment) in found.keep_beside {
        let environment = control.environment(environment).await?;
        keep_beside.push(KeepBeside {
            workspace_id,
            data_key: STANDARD.encode(environment.key.expose()),
        });
    }
    Ok(Answer(HoldingsAnswer {
        deleted: found.deleted,
        over: found.over,
        keep_beside,
    }))
}

pub(super) async fn beside(
    State(control): State<Control>,
    caller: WorkerCaller,
    Path(workspace_id): Path<WorkspaceId>,
    body: Json<Beside>,
) -> Result<Answer<Nothing>, ApiError> {
    let Beside { parent, version } = body.value;
    let input = worker::KeptBeside {
        at: control.moment()?,
        worker_id: caller.id,
        workspace_id,
        parent,
        version: captured(version),
    };
    worker::keep_beside(&control.store, input).await?;
    Ok(Answer(Nothing {}))
}
