//! `POST /sessions/{id}/inputs/{stream}`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::error::Code;
use helmr_api::http::streams::{RecordAnswer, SendInput};
use helmr_domain::stream::Direction;
use helmr_domain::{SessionId, StreamName};
use helmr_store::public_tokens::Grant;

use crate::http::body::{Json, Limit};
use crate::http::caller::{Access, denied};
use crate::http::idempotency::{self, IdempotencyKey};
use crate::http::parameters::PathPair;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::ops::streams::{self, Given};
use crate::{ApiError, Control};

/// The record's data, and room for what stands beside it and for escapes that its canonical form does not have.
pub(crate) struct Record;

impl Limit for Record {
    const BYTES: usize = 4 * bounds::RECORD_BYTES;
    const STATED: usize = bounds::RECORD_BYTES;
    const CODE: Code = Code::RecordTooLarge;
    const WHAT: &'static str = "the record";
}

/// Sends a record to a session's input stream. An open session without a run starts its next one.
#[utoipa::path(post, path = "/api/v1/sessions/{id}/inputs/{stream}", operation_id = "send_input", tag = "streams",
    params(("id" = String, Path), ("stream" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    request_body = SendInput, responses((status = CREATED, body = RecordAnswer), Refusals))]
pub(crate) async fn send_input(
    State(control): State<Control>,
    access: Access,
    PathPair(session, stream): PathPair<SessionId, StreamName>,
    key: IdempotencyKey,
    body: Json<SendInput, Record>,
) -> Result<Response, ApiError> {
    let mut sent = body.value;
    allow(&access, session, &stream, &mut sent)?;
    let key = key.of_access(&access);
    let request = key.of(&format!("send_input {session} {stream}"), &body.sent)?;
    let given = Given {
        stream,
        data: sent.data,
        correlation_id: sent.correlation_id,
        idempotency_key: sent.idempotency_key,
    };
    let by = access.public_token();
    let (answer, replayed) =
        streams::send(&control, access.scope(), session, given, by, request).await?;
    Ok(if replayed {
        idempotency::replayed(answer)
    } else {
        idempotency::created(&answer)
    })
}

/// A public access token of one correlation id sends under it.
fn allow(
    access: &Access,
    session: SessionId,
    stream: &StreamName,
    sent: &mut SendInput,
) -> Result<(), ApiError> {
    let Access::Public(token) = access else {
        return Ok(());
    };
    let Grant::Stream {
        session: granted_session,
        direction: Direction::Input,
        stream: granted_stream,
        correlation_id,
    } = &token.grant
    else {
        return Err(denied());
    };
    if *granted_session != session || granted_stream != stream {
        return Err(denied());
    }
    match (correlation_id, &sent.correlation_id) {
        (Some(granted), Some(given)) if granted != given => Err(ApiError::new(
            Code::PermissionDenied,
            "this public access token is for another correlation id",
        )),
        (Some(granted), _) => {
            sent.correlation_id = Some(granted.clone());
            Ok(())
        }
        (None, _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use helmr_domain::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::http::caller::tests::public;

    fn check(granted: Option<&str>, given: Option<&str>, expected: Result<Option<&str>, Code>) {
        let session = SessionId::new(Timestamp::from_micros(0), [1; 10]);
        let stream: StreamName = "inbox".parse().unwrap();
        let access = public(
            Grant::Stream {
                session,
                direction: Direction::Input,
                stream: stream.clone(),
                correlation_id: granted.map(str::to_owned),
            },
            &[],
        );
        let mut sent = SendInput {
            data: json!(1),
            correlation_id: given.map(str::to_owned),
            idempotency_key: None,
        };
        let allowed = allow(&access, session, &stream, &mut sent);
        let allowed = allowed.map(|()| sent.correlation_id.as_deref());
        assert_eq!(allowed.map_err(|error| error.code()), expected);

        let other: StreamName = "other".parse().unwrap();
        let refused = allow(&access, session, &other, &mut sent).unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    #[test]
    fn a_public_access_token_sends_to_its_stream_under_its_correlation_id() {
        check(None, None, Ok(None));
        check(None, Some("a"), Ok(Some("a")));
        check(Some("a"), None, Ok(Some("a")));
        check(Some("a"), Some("a"), Ok(Some("a")));
        check(Some("a"), Some("b"), Err(Code::PermissionDenied));
    }
}
