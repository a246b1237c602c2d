//! Reading and following the streams of a session.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::streams::{ListRecords, Record, Stream};
use helmr_domain::session::State as SessionState;
use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName};
use helmr_store::public_tokens::Grant;
use helmr_store::{Hint, Subject, sessions, streams};

use super::view;
use crate::http::caller::{Access, Caller, denied};
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, PathPair, Query};
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Read at a time while following: records may be large.
const BATCH: u32 = 50;

/// Lists the streams that a session's task declares.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/streams", operation_id = "list_streams", tag = "streams",
    params(("id" = String, Path), PageQuery), responses((status = OK, body = Page<Stream>), Refusals))]
pub(crate) async fn list_streams(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Stream>>, ApiError> {
    cursor::limit(query.limit)?;
    let scope = caller.scope();
    let mut items = Vec::new();
    for stream in streams::list(&control.store, scope, id).await? {
        let last = if stream.last_sequence == 0 {
            None
        } else {
            let only = streams::ListRecords {
                session: id,
                direction: stream.direction,
                stream: stream.name.clone(),
                correlation_id: None,
                after: stream.last_sequence.saturating_sub(1),
                limit: 1,
            };
            let page = streams::list_records(&control.store, scope, only).await?;
            page.items.first().map(|record| record.created_at.into())
        };
        items.push(view::stream(&stream, last));
    }
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Lists the records of an input stream, oldest first, or follows them.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/inputs/{stream}", operation_id = "list_inputs", tag = "streams",
    params(("id" = String, Path), ("stream" = String, Path), ListRecords, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<Record> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_inputs(
    State(control): State<Control>,
    access: Access,
    PathPair(session, stream): PathPair<SessionId, StreamName>,
    Query(query): Query<ListRecords>,
    following: Following,
) -> Result<Response, ApiError> {
    let records = Records::of(&control, &access, session, Direction::Input, stream, &query)?;
    records.answer(&query, &following).await
}

/// Lists the records of an output stream, oldest first, or follows them until the session's end.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/outputs/{stream}", operation_id = "list_outputs", tag = "streams",
    params(("id" = String, Path), ("stream" = String, Path), ListRecords, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<Record> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_outputs(
    State(control): State<Control>,
    access: Access,
    PathPair(session, stream): PathPair<SessionId, StreamName>,
    Query(query): Query<ListRecords>,
    following: Following,
) -> Result<Response, ApiError> {
    let records = Records::of(
        &control,
        &access,
        session,
        Direction::Output,
        stream,
        &query,
    )?;
    records.answer(&query, &following).await
}

/// The records of one stream.
struct Records {
    control: Control,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    stream: StreamName,
    correlation_id: Option<String>,
}

impl Records {
    fn of(
        control: &Control,
        access: &Access,
        session: SessionId,
        direction: Direction,
        stream: StreamName,
        query: &ListRecords,
    ) -> Result<Self, ApiError> {
        Ok(Self {
            correlation_id: readable(access, session, direction, &stream, query)?,
            control: control.clone(),
            scope: access.scope(),
            session,
            direction,
            stream,
        })
    }

    async fn answer(
        self,
        query: &ListRecords,
        following: &Following,
    ) -> Result<Response, ApiError> {
        let after = following.after(query.cursor.as_deref())?;
        // Also tells a stream that is not declared from one without records.
        let (control, name) = (self.control.clone(), &self.stream);
        ops::streams::find(&control, self.scope, self.session, self.direction, name).await?;
        if following.live {
            return Ok(follow::follow(&control, after, self));
        }
        let page = self.read(after, cursor::limit(query.limit)?).await?;
        Ok(Json(view::page(&page)).into_response())
    }

    async fn read(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<helmr_store::Page<streams::Record, u64>, ApiError> {
        let input = streams::ListRecords {
            session: self.session,
            direction: self.direction,
            stream: self.stream.clone(),
            correlation_id: self.correlation_id.clone(),
            after,
            limit,
        };
        Ok(streams::list_records(&self.control.store, self.scope, input).await?)
    }
}

/// Which records the caller may read: a public access token of one correlation id sees no others.
fn readable(
    access: &Access,
    session: SessionId,
    direction: Direction,
    stream: &StreamName,
    query: &ListRecords,
) -> Result<Option<String>, ApiError> {
    let asked = query.correlation_id.clone();
    let Access::Public(token) = access else {
        return Ok(asked);
    };
    let Grant::Stream {
        session: granted_session,
        direction: granted_direction,
        stream: granted_stream,
        correlation_id,
    } = &token.grant
    else {
        return Err(denied());
    };
    if *granted_session != session
        || *granted_direction != direction
        || granted_stream != stream
        || direction == Direction::Input
    {
        return Err(denied());
    }
    match (correlation_id, asked) {
        (Some(granted), Some(asked)) if *granted != asked => Err(ApiError::new(
            Code::PermissionDenied,
            "this public access token is for another correlation id",
        )),
        (Some(granted), _) => Ok(Some(granted.clone())),
        (None, asked) => Ok(asked),
    }
}

impl Source for Records {
    type Item = Record;

    async fn look(&mut self, after: u64) -> Result<Batch<Record>, ApiError> {
        // Asked first: what is read afterwards then holds everything up to the end.
        let session = sessions::get(&self.control.store, self.scope, self.session).await?;
        let ended = session.is_none_or(|session| {
            session.state != SessionState::Open && session.active_run.is_none()
        });
        let page = self.read(after, BATCH).await?;
        Ok(Batch {
            more: page.next.is_some(),
            after: page.items.last().map_or(after, |last| last.sequence),
            items: page
                .items
                .iter()
                .map(|row| (row.sequence, view::record(row)))
                .collect(),
            ended,
        })
    }

    fn concerns(&self, hint: &Hint) -> bool {
        match hint {
            Hint::Records {
                session,
                direction,
                stream,
            } => *session == self.session && *direction == self.direction && *stream == self.stream,
            // The session may have ended.
            Hint::Events(Subject::Session(session)) => *session == self.session,
            Hint::Events(_) | Hint::Assignment(_) | Hint::Log(_) | Hint::Timers | Hint::Queue => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]
    use helmr_domain::Timestamp;

    use super::*;
    use crate::http::caller::tests::public;

    fn check(granted: Direction, asked: Direction, expected: Result<Option<&str>, Code>) {
        let session = SessionId::new(Timestamp::from_micros(0), [1; 10]);
        let stream: StreamName = "out".parse().unwrap();
        let access = public(
            Grant::Stream {
                session,
                direction: granted,
                stream: stream.clone(),
                correlation_id: Some("a".to_owned()),
            },
            &[],
        );
        let query = ListRecords::default();
        let readable = readable(&access, session, asked, &stream, &query);
        let readable = readable.map_err(|error| error.code());
        assert_eq!(readable, expected.map(|id| id.map(str::to_owned)));
    }

    #[test]
    fn a_public_access_token_reads_its_output_and_no_input() {
        let denied = Err(Code::PermissionDenied);
        check(Direction::Output, Direction::Output, Ok(Some("a")));
        check(Direction::Output, Direction::Input, denied);
        check(Direction::Input, Direction::Input, denied);
    }
}
