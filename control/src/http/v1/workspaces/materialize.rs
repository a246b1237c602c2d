//! `POST /workspaces/{id}/materialize` and `…/connect`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::workspaces::{
    ConnectWorkspace, ConnectionAnswer, MaterializeWorkspace, WorkspaceAnswer,
};
use helmr_domain::WorkspaceId;
use helmr_store::workspaces;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Asks for a workspace's machine: it is started, or woken if it is parked, and stays as if something had just run in it.
/// No session is made. The answer does not wait; asking again only makes it stay longer.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/materialize", operation_id = "materialize_workspace",
    tag = "workspaces", params(("id" = String, Path)), request_body = MaterializeWorkspace,
    responses((status = OK, body = WorkspaceAnswer), Refusals))]
pub(crate) async fn materialize_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    _body: Json<MaterializeWorkspace>,
) -> Result<Answer<WorkspaceAnswer>, ApiError> {
    let (scope, at) = (caller.scope(), control.moment()?);
    let workspace = workspaces::materialize(&control.store, scope, id, at).await?;
    Ok(Answer(view::answer(&workspace)))
}

/// Asks for a workspace's machine, waits until it is live, and says how it is reached.
#[utoipa::path(post, path = "/api/v1/workspaces/{id}/connect", operation_id = "connect_workspace",
    tag = "workspaces", params(("id" = String, Path)), request_body = ConnectWorkspace,
    responses((status = OK, body = ConnectionAnswer), Refusals))]
pub(crate) async fn connect_workspace(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<WorkspaceId>,
    body: Json<ConnectWorkspace>,
) -> Result<Answer<ConnectionAnswer>, ApiError> {
    let answer = ops::workspaces::connect(&control, caller.scope(), id, body.value.timeout).await?;
    Ok(Answer(answer))
}
