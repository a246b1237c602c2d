//! `POST /sessions`.

use std::sync::Arc;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::sessions::{StartSession, StartedSession};
use helmr_store::idempotency::{Kept, Render};
use helmr_store::sessions::Started;
use http::StatusCode;
use serde_json::json;

use super::view;
use crate::http::body::{Json, Limit};
use crate::http::caller::Caller;
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::provenance::Provenance;
use crate::http::refusals::Refusals;
use crate::http::v1::runs;
use crate::ops::bounds;
use crate::{ApiError, Control, ops};

/// The payload, and room for everything beside it.
pub(crate) struct Payload;

impl Limit for Payload {
    const BYTES: usize = bounds::PAYLOAD_BYTES + (1 << 20);
    const STATED: usize = bounds::PAYLOAD_BYTES;
    const CODE: Code = Code::PayloadTooLarge;
    const WHAT: &'static str = "the payload";
}

/// Starts a task in a new session.
///
/// A session of the same `external_id` that is open and was started alike is used again: its active run, else a new one.
#[utoipa::path(post, path = "/api/v1/sessions", operation_id = "start_session", tag = "sessions",
    request_body = StartSession, params(("Idempotency-Key" = Option<String>, Header)),
    responses((status = CREATED, body = StartedSession), (status = OK, body = StartedSession), Refusals))]
pub(crate) async fn start_session(
    State(control): State<Control>,
    caller: Caller,
    key: IdempotencyKey,
    Provenance(provenance): Provenance,
    body: Json<StartSession, Payload>,
) -> Result<Response, ApiError> {
    let request = key.of("start_session", &body.sent)?;
    let now = control.now();
    let render: Render<Started> = Arc::new(move |started| {
        json!(StartedSession {
            session: view::session(&started.session),
            run: runs::view::run(&started.run, now),
            reused: started.reused,
        })
    });
    let started = ops::sessions::start(
        &control,
        &caller.environment,
        body.value,
        request,
        provenance,
        Arc::clone(&render),
    )
    .await?;
    Ok(match started {
        Kept::Replayed { answer, .. } => {
            let reused = answer["reused"] == true;
            idempotency::replayed_as(status(reused), answer)
        }
        Kept::Fresh(started) => (status(started.reused), Answer(render(&started))).into_response(),
    })
}

const fn status(reused: bool) -> StatusCode {
    if reused {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    }
}
