//! `PATCH /workspaces/{id}`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::workspaces::{UpdateWorkspace, WorkspaceAnswer};
use helmr_domain::WorkspaceId;
use helmr_store::workspaces::{self, Update};
use serde_json::Value;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control};

/// Changes a workspace's external id, tags or metadata, or how long its machine stays. What is absent stays as it is.
#[utoipa::path(patch, path = "/api/v1/workspaces/{id}", operation_id = "update_workspace", tag = "workspaces",
    params(("id" = String, Path)), request_body = UpdateWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn update_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    body: Json<UpdateWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let UpdateWorkspace {
        external_id,
        metadata,
        tags,
        auto_stop_after,
    } = body.value;
    bounds::external_id(external_id.as_ref().and_then(Option::as_deref))?;
    if let Some(tags) = &tags {
        bounds::tags(tags)?;
    }
    if let Some(metadata) = &metadata {
        bounds::metadata(metadata)?;
    }
    if let Some(Some(span)) = auto_stop_after {
        bounds::auto_stop_after(span.0)?;
    }
    let input = Update {
        at: control.moment()?,
        scope: caller.scope(),
        workspace: id,
        external_id,
        metadata: metadata.map(Value::Object),
        tags,
        auto_stop_after: auto_stop_after.map(|span| span.map(|span| span.0)),
    };
    let workspace = workspaces::update(&control.store, input).await?;
    Ok(Answer(view::answer(&workspace)))
}
