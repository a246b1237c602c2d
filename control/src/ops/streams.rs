//! Session streams: records checked against the stream's schema before they are kept.

use std::sync::Arc;

use helmr_api::error::Code;
use helmr_api::http::streams::RecordAnswer;
use helmr_domain::stream::Direction;
use helmr_domain::{PublicTokenId, Scope, SessionId, StreamName};
use helmr_store::idempotency::{Idempotency, Kept, Origin, Render, TaskCall};
use helmr_store::streams::{self, AppendOutput, NewRecord, SendInput, Sent};
use helmr_store::worker::RunFence;
use serde_json::{Value, json};

use super::{bounds, mismatch};
use crate::http::idempotency::Request;
use crate::http::v1::streams::view;
use crate::{ApiError, Control, declared};

pub(crate) const JSON: &str = "application/json";

/// A record as a client or a task gives it.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) stream: StreamName,
    pub(crate) data: Value,
    pub(crate) correlation_id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// Finds a declared stream.
///
/// # Errors
/// `session_not_found`, `stream_not_found`.
pub(crate) async fn find(
    control: &Control,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    name: &StreamName,
) -> Result<declared::Stream, ApiError> {
    let known = &control.declared;
    known
        .find(control, scope, session, direction, name)
        .await?
        .ok_or_else(|| {
            ApiError::new(
                Code::StreamNotFound,
                format!(
                    "the session's task declares no {} stream `{name}`",
                    direction.as_str()
                ),
            )
            .with_details(json!({ "stream": name, "direction": direction }))
        })
}

fn check(stream: &declared::Stream, given: Given) -> Result<NewRecord, ApiError> {
    bounds::record(&given.data)?;
    bounds::correlation_id(given.correlation_id.as_deref())?;
    bounds::record_key(given.idempotency_key.as_deref())?;
    if let Some(schema) = stream {
        mismatch::check_against(schema, &given.data, Code::RecordInvalid, "the record")?;
    }
    Ok(NewRecord {
        stream: given.stream,
        data: given.data,
        correlation_id: given.correlation_id,
        content_type: JSON.to_owned(),
        idempotency_key: given.idempotency_key,
    })
}

/// What is kept of an answer to a client.
fn for_client() -> Render<Sent> {
    Arc::new(|sent| {
        json!(RecordAnswer {
            record: view::record(&sent.record),
            started_run_id: sent.record.started_run,
        })
    })
}

/// Sends input to a session.
///
/// # Errors
/// `session_not_found`, `stream_not_found`, `record_invalid`, `record_too_large`, `session_ended`,
/// `idempotency_key_reused`, `public_token_spent`.
pub(crate) async fn send(
    control: &Control,
    scope: Scope,
    session: SessionId,
    given: Given,
    public_token: Option<PublicTokenId>,
    request: Option<Request>,
) -> Result<(Value, bool), ApiError> {
    let stream = find(control, scope, session, Direction::Input, &given.stream).await?;
    let record = check(&stream, given)?;
    let input = SendInput {
        at: control.moment()?,
        scope,
        session,
        record,
        public_token,
        idempotency: request.map(|request| Idempotency {
            key: request.key,
            request_hash: request.hash,
            sealed: None,
            answer: for_client(),
        }),
    };
    match streams::send_input(&control.store, input).await? {
        Kept::Fresh(sent) => Ok((for_client()(&sent), sent.existed)),
        Kept::Replayed { answer, .. } => Ok((answer, true)),
    }
}

/// Appends output for a task, once for each call.
///
/// # Errors
/// `stale_lease`, `stream_not_found`, `record_invalid`, `record_too_large`, `idempotency_key_reused`.
pub(crate) async fn append(
    control: &Control,
    scope: Scope,
    session: SessionId,
    given: Given,
    fence: RunFence,
    call_no: u64,
) -> Result<Value, ApiError> {
    let stream = find(control, scope, session, Direction::Output, &given.stream).await?;
    let record = check(&stream, given)?;
    let render: Render<Sent> = Arc::new(|sent| json!(view::record(&sent.record)));
    let input = AppendOutput {
        at: control.moment()?,
        scope,
        session,
        record,
        origin: Origin::Task(TaskCall {
            fence,
            call_no,
            sealed: None,
            answer: Arc::clone(&render),
        }),
    };
    match streams::append_output(&control.store, input).await? {
        Kept::Fresh(sent) => Ok(render(&sent)),
        Kept::Replayed { answer, .. } => Ok(answer),
    }
}
