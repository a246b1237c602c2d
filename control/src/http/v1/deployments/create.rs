//! `POST /deployments`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::error::Code;
use helmr_api::http::deployments::{CreateDeployment, DeploymentAnswer};
use helmr_store::deployments::Created;
use helmr_store::idempotency::{Kept, Render};
use serde_json::json;

use super::view::{self, Contents};
use crate::http::body::{Json, Limit};
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Indexes hold every schema of a project.
pub(crate) struct IndexSize;

impl Limit for IndexSize {
    const BYTES: usize = 16 << 20;
    const STATED: usize = Self::BYTES;
    const CODE: Code = Code::BodyTooLarge;
    const WHAT: &'static str = "the body";
}

/// Deploys a task project whose bundle was uploaded, and promotes it unless told otherwise.
#[utoipa::path(post, path = "/api/v1/deployments", operation_id = "create_deployment", tag = "deployments",
    request_body = CreateDeployment, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = DeploymentAnswer), Refusals))]
pub(crate) async fn create_deployment(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    body: Json<CreateDeployment, IndexSize>,
) -> Result<Response, ApiError> {
    let request = key.of("create_deployment", &body.sent)?;
    let index = &body.value.index;
    let contents = Contents {
        tasks: index.tasks.iter().map(|task| task.id.clone()).collect(),
        sandboxes: index
            .sandboxes
            .iter()
            .map(|sandbox| sandbox.id.clone())
            .collect(),
    };
    let now = control.now();
    let render: Render<Created> = Arc::new(move |created| {
        let row = &created.deployment;
        let promoted_at = row.promoted.then_some(now);
        json!(DeploymentAnswer {
            deployment: view::deployment(row, contents.clone(), promoted_at),
        })
    });
    let created = ops::deployments::create(
        &control,
        &caller.environment,
        body.value,
        request,
        Arc::clone(&render),
    )
    .await?;
    Ok(match created {
        Kept::Fresh(created) => idempotency::created(&render(&created)),
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
    })
}
