//! `POST /workspaces/{id}/recover`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::workspaces::{RecoverFrom, RecoverWorkspace, WorkspaceAnswer};
use helmr_domain::WorkspaceId;
use helmr_store::workspaces;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Goes on with a workspace in state `recovery_required` from its last version. In an active one nothing changes.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/recover", operation_id = "recover_workspace", tag = "workspaces",
    params(("id" = String, Path)), request_body = RecoverWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn recover_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    body: Json<RecoverWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let at = control.moment()?;
    let workspace = match body.value.from {
        RecoverFrom::LastVersion => {
            workspaces::recover(&control.store, caller.scope(), id, at).await?
        }
    };
    tracing::info!("workspace.id" = %id, "workspace recovered from its last version");
    Ok(Answer(view::answer(&workspace)))
}
