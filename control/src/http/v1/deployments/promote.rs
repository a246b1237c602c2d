//! `POST /deployments/{id}/promote`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::deployments::{DeploymentAnswer, PromoteDeployment};
use helmr_domain::DeploymentId;
use helmr_store::deployments;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Makes starts use this deployment from now on. Rolling back is promoting an older one.
#[utoipa::path(post, path = "/api/v1/deployments/{id}/promote", operation_id = "promote_deployment",
    tag = "deployments", params(("id" = String, Path)), request_body = PromoteDeployment,
    responses((status = OK, body = DeploymentAnswer), Refusals))]
pub(crate) async fn promote_deployment(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
    _: Json<PromoteDeployment>,
) -> Result<Answer<DeploymentAnswer>, ApiError> {
    let at = control.moment()?;
    let row = deployments::promote(&control.store, caller.scope(), id, at).await?;
    let deployment = view::whole(&control, &row).await?;
    Ok(Answer(DeploymentAnswer { deployment }))
}
