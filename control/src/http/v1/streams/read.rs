//! Reading and following the streams of a session.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::page::{Page, PageQuery};
use helmr_api::http::streams::{ListRecords, Record, Stream};
use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName, Timestamp};
use helmr_store::public_tokens::{Grant, PublicToken};
use helmr_store::{Hint, Subject, streams};

use super::view;
use crate::http::caller::{Access, Caller, check_still_valid, denied};
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, PathPair, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::Ended as _;
use crate::http::v1::sessions::events::SessionEnded;
use crate::news::Topic;
use crate::{ApiError, Control, ops};

/// Read at a time while following, unless they are large.
const BATCH: u32 = 200;

/// Lists the streams that a session's task declares.
#[utoipa::path(get, path = "/api/v1/sessions/{id}/streams", operation_id = "list_streams", tag = "streams",
    params(("id" = String, Path), PageQuery), responses((status = OK, body = Page<Stream>), Refusals))]
pub(crate) async fn list_streams(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<Stream>>, ApiError> {
    let after: Option<Place> = cursor::read(query.cursor.as_deref())?;
    let limit = cursor::limit(query.limit)?;
    let after = after.map(|Place(direction, name)| (direction, name));
    let page = streams::list(&control.store, caller.scope(), id, after, limit).await?;
    let page = helmr_store::Page {
        items: page.items,
        next: page.next.map(|(direction, name)| Place(direction, name)),
    };
    Ok(Json(cursor::page(page, view::stream)))
}

/// Where a stream stands among those of its session, as a list's cursor.
struct Place(Direction, StreamName);

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.0.as_str(), self.1)
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (direction, name) = text.split_once('/').ok_or(())?;
        let direction = Direction::read(direction).ok_or(())?;
        Ok(Self(direction, name.parse().map_err(|_| ())?))
    }
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
    /// The public access token by which it is read.
    public: Option<Arc<PublicToken>>,
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
            public: match access {
                Access::Key(_) => None,
                Access::Public(token) => Some(Arc::clone(token)),
            },
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
        let ended = SessionEnded::of(self.scope, self.session)
            .ended(&self.control)
            .await?;
        if let Some(token) = &self.public {
            check_still_valid(&self.control, token).await?;
        }
        let page = self.read(after, BATCH).await?;
        Ok(Batch::of(&page, after, ended, |row| {
            (row.sequence, view::record(row))
        }))
    }

    fn topics(&self) -> Vec<Topic> {
        let records = Hint::Records {
            session: self.session,
            direction: self.direction,
            stream: self.stream.clone(),
        };
        // The session may end, and so may the right to read.
        let session = Hint::Events(Subject::Session(self.session));
        let revoked = self
            .public
            .as_ref()
            .map(|token| Hint::PublicToken(token.id));
        [records, session]
            .into_iter()
            .chain(revoked)
            .map(Topic::Of)
            .collect()
    }

    fn until(&self) -> Option<Timestamp> {
        self.public.as_ref().and_then(|token| token.expires_at)
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
