//! `POST /runs/{id}/retry`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::runs::{RetryRun, RunAnswer};
use helmr_domain::RunId;
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::runs::{self, Retry, Run};
use serde_json::{Value, json};

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::Path;
use crate::http::provenance::Provenance;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Starts a new run of a finished run's session, with the same payload and deployment.
#[utoipa::path(post, path = "/api/v1/runs/{id}/retry", operation_id = "retry_run", tag = "runs",
    params(("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)), request_body = RetryRun,
    responses((status = CREATED, body = RunAnswer), Refusals))]
pub(crate) async fn retry_run(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<RunId>,
    key: IdempotencyKey,
    Provenance(provenance): Provenance,
    body: Json<RetryRun>,
) -> Result<Response, ApiError> {
    // Two runs retried under one key are two requests.
    let asked = json!({ "run_id": id, "body": body.sent });
    let request = key.of("retry_run", &asked)?;
    let at = control.moment()?;
    let render: Render<Run> = Arc::new(move |run| {
        json!(RunAnswer {
            run: view::run(run, at.now),
        })
    });
    let input = Retry {
        at,
        scope: caller.scope(),
        run: id,
        provenance: Value::Object(provenance),
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: Arc::clone(&render),
        }),
    };
    Ok(match runs::start_retry(&control.store, input).await? {
        Kept::Replayed { answer, .. } => idempotency::replayed(answer),
        Kept::Fresh(run) => idempotency::created(&render(&run)),
    })
}
