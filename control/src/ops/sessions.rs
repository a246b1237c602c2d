//! Sessions: a task started, its payload checked against the schema it was deployed with.

use std::sync::Arc;

use helmr_api::error::Code;
use helmr_api::fault;
use helmr_api::http::sessions::StartSession;
use helmr_store::idempotency::{Idempotency, Kept, Render};
use helmr_store::sessions::{RunOptions, Start, Started};
use helmr_store::{idempotency, sessions, tasks};
use serde_json::{Map, Value, json};

use super::{bounds, mismatch};
use crate::http::idempotency::Request;
use crate::state::Environment;
use crate::{ApiError, Control};

/// Starts a session, or gives the answer that was kept of the same request.
///
/// # Errors
/// What is wrong with the request: see the codes in `docs/errors/`.
pub(crate) async fn start(
    control: &Control,
    environment: &Environment,
    body: StartSession,
    request: Option<Request>,
    provenance: Map<String, Value>,
    render: Render<Started>,
) -> Result<Kept<Started>, ApiError> {
    let scope = environment.row.scope;
    let at = control.moment()?;
    // Before the checks: a replay is answered even if what it names has changed since.
    if let Some(request) = &request
        && let Some(kept) =
            idempotency::find(&control.store, scope, at, &request.key, request.hash).await?
    {
        return Ok(Kept::Replayed {
            answer: kept.answer,
            sealed: kept.sealed,
        });
    }
    bounds::external_id(body.external_id.as_deref())?;
    bounds::tags(&body.tags)?;
    bounds::metadata(&body.metadata)?;
    let max_duration = bounds::max_duration(body.max_duration_seconds)?;
    bounds::concurrency_key(body.concurrency_key.as_deref())?;
    let ttl = body.ttl.map(|span| bounds::ttl(span.0)).transpose()?;
    if body.expires_at.is_some_and(|expires| expires.0 <= at.wall) {
        return Err(
            ApiError::new(Code::LimitExceeded, "expires_at: must lie in the future")
                .with_details(json!({ "path": "expires_at" })),
        );
    }
    let task = tasks::get(&control.store, scope, body.task.as_str())
        .await?
        .ok_or_else(|| {
            ApiError::new(
                Code::TaskNotFound,
                format!("the promoted deployment has no task `{}`", body.task),
            )
        })?;
    let payload = check_payload(control, task.payload_schema.as_ref(), body.payload.as_ref())?;
    if !task.secrets.is_empty() {
        return Err(ApiError::new(
            Code::SecretMissing,
            format!(
                "the task declares secrets that are not set: {}",
                task.secrets.join(", ")
            ),
        )
        .with_details(json!({ "names": task.secrets })));
    }
    let input = Start {
        at,
        scope,
        task: task.id,
        external_id: body.external_id,
        payload,
        workspace: body.workspace_id,
        metadata: Value::Object(body.metadata),
        tags: body.tags,
        expires_at: body.expires_at.map(|expires| expires.0),
        run: RunOptions {
            max_duration,
            ttl,
            priority: body.priority,
            concurrency_key: body.concurrency_key,
        },
        provenance: Value::Object(provenance),
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: Arc::clone(&render),
        }),
    };
    fault::point("control.session_start.before_commit");
    let started = sessions::start(&control.store, input).await?;
    fault::point("control.session_start.after_commit");
    Ok(started)
}

fn check_payload(
    control: &Control,
    schema: Option<&Value>,
    payload: Option<&Value>,
) -> Result<Option<helmr_domain::CanonicalJson>, ApiError> {
    match (schema, payload) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(ApiError::new(
            Code::PayloadNotAccepted,
            "the task declares no payload, so it takes none",
        )),
        (Some(_), None) => Err(
            ApiError::new(Code::PayloadInvalid, "the task needs a payload").with_details(json!({
                "path": "",
                "errors": [{ "path": "", "message": "the payload is missing" }],
            })),
        ),
        (Some(schema), Some(payload)) => {
            let text = bounds::payload(payload)?;
            mismatch::check(
                control,
                schema,
                payload,
                Code::PayloadInvalid,
                "the payload",
            )?;
            Ok(Some(text))
        }
    }
}
