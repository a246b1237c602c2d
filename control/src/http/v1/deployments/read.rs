//! `GET /deployments`.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use helmr_api::http::deployments::{Deployment, DeploymentAnswer};
use helmr_api::http::events::Event;
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::DeploymentId;
use helmr_store::{Subject, deployments};

use super::view;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::follow::Following;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::{self, Ended};
use crate::{ApiError, Control, refusal};

/// Lists deployments, newest first.
#[utoipa::path(get, path = "/api/v1/deployments", operation_id = "list_deployments", tag = "deployments",
    params(PageQuery), responses((status = OK, body = Page<Deployment>), Refusals))]
pub(crate) async fn list_deployments(
    State(control): State<Control>,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Deployment>>, ApiError> {
    let before: Option<DeploymentId> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let page = deployments::list(&control.store, caller.scope(), before, limit).await?;
    let mut items = Vec::with_capacity(page.items.len());
    for row in &page.items {
        items.push(view::whole(&control, row).await?);
    }
    Ok(Json(Page {
        items,
        next_cursor: page.next.map(|next| cursor::opaque(&next.to_string())),
    }))
}

/// Gives one deployment.
#[utoipa::path(get, path = "/api/v1/deployments/{id}", operation_id = "get_deployment", tag = "deployments",
    params(("id" = String, Path)), responses((status = OK, body = DeploymentAnswer), Refusals))]
pub(crate) async fn get_deployment(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
) -> Result<Json<DeploymentAnswer>, ApiError> {
    let row = find(&control, &caller, id).await?;
    let deployment = view::whole(&control, &row).await?;
    Ok(Json(DeploymentAnswer { deployment }))
}

/// Lists a deployment's events, oldest first, or follows them.
#[utoipa::path(get, path = "/api/v1/deployments/{id}/events", operation_id = "list_deployment_events",
    tag = "deployments",
    params(("id" = String, Path), PageQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<Event> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_deployment_events(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<DeploymentId>,
    Query(query): Query<PageQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    find(&control, &caller, id).await?;
    let (scope, subject) = (caller.scope(), Subject::Deployment(id));
    events::answer(&control, scope, subject, &query, &following, Never).await
}

/// A deployment can be promoted again at any time.
struct Never;

impl Ended for Never {
    async fn ended(&self, _: &Control) -> Result<bool, ApiError> {
        Ok(false)
    }
}

async fn find(
    control: &Control,
    caller: &Caller,
    id: DeploymentId,
) -> Result<deployments::Deployment, ApiError> {
    deployments::get(&control.store, caller.scope(), id)
        .await?
        .ok_or_else(|| refusal::not_found("deployment"))
}
