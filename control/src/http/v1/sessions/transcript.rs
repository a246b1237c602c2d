//! `GET /sessions/{id}/transcript`: the records of all streams of a session, in the order in which they came.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::page::Page;
use helmr_api::http::streams::{ListTranscript, TranscriptRecord};
use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName};
use helmr_store::{Hint, Subject, streams};

use super::events::SessionEnded;
use super::read;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::Ended as _;
use crate::http::v1::streams::view;
use crate::news::Topic;
use crate::{ApiError, Control};

/// Read at a time while following, unless they are large.
const BATCH: u32 = 200;

/// Lists the records of all of a session's streams, oldest first, or follows them until the session's end.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/transcript", operation_id = "list_transcript", tag = "sessions",
    params(("id" = String, Path), ListTranscript, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<TranscriptRecord> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_transcript(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(query): Query<ListTranscript>,
    following: Following,
) -> Result<Response, ApiError> {
    let after = following.after(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let stream = query.stream.map(|name| name.parse()).transpose();
    let stream = stream.map_err(|error: helmr_domain::NameError| {
        ApiError::new(Code::InvalidQuery, format!("stream: {error}"))
    })?;
    let transcript = Transcript {
        control: control.clone(),
        scope: caller.scope(),
        session: id,
        direction: query.direction.map(view::direction),
        stream,
        correlation_id: query.correlation_id,
    };
    if following.live {
        read::find(&control, &caller, id).await?;
        return Ok(follow::follow(&control, after, transcript));
    }
    let page = transcript.read(after, limit).await?;
    Ok(Json(Page {
        items: page
            .items
            .iter()
            .map(view::transcript_record)
            .collect::<Vec<_>>(),
        next_cursor: page.next.map(|next| next.to_string()),
    })
    .into_response())
}

struct Transcript {
    control: Control,
    scope: Scope,
    session: SessionId,
    direction: Option<Direction>,
    stream: Option<StreamName>,
    correlation_id: Option<String>,
}

impl Transcript {
    async fn read(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<helmr_store::Page<streams::Record, u64>, ApiError> {
        let input = streams::ListTranscript {
            session: self.session,
            direction: self.direction,
            stream: self.stream.clone(),
            correlation_id: self.correlation_id.clone(),
            after,
            limit,
        };
        Ok(streams::transcript(&self.control.store, self.scope, input).await?)
    }
}

impl Source for Transcript {
    type Item = TranscriptRecord;

    async fn look(&mut self, after: u64) -> Result<Batch<TranscriptRecord>, ApiError> {
        let ended = SessionEnded::of(self.scope, self.session)
            .ended(&self.control)
            .await?;
        let page = self.read(after, BATCH).await?;
        Ok(Batch::of(&page, after, ended, |row| {
            (row.position, view::transcript_record(row))
        }))
    }

    fn topics(&self) -> Vec<Topic> {
        let session = Hint::Events(Subject::Session(self.session));
        vec![Topic::AnyRecord(self.session), Topic::Of(session)]
    }
}
