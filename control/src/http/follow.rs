//! Following what grows: Server-Sent Events from a cursor on, with no gap and no repeat.
//!
//! A hint only says when to look; what is sent is always read from the store, after the last item that was sent.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use helmr_api::error::Code;
use helmr_domain::Timestamp;
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::json;

use super::cursor;
use crate::news::{Subscription, Topic};
use crate::{ApiError, Control};

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A hint may come from another process and be lost on the way; then this brings the news.
const LOOK_ANYWAY: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How the caller wants something that grows: read once, or followed.
pub(crate) struct Following {
    pub(crate) live: bool,
    last_event_id: Option<String>,
}

impl FromRequestParts<Control> for Following {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Control) -> Result<Self, ApiError> {
        let live = parts
            .headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|part| {
                part.trim()
                    .to_ascii_lowercase()
                    .starts_with("text/event-stream")
            });
        let last_event_id = match parts.headers.get(LAST_EVENT_ID) {
            None => None,
            Some(value) => Some(value.to_str().map(str::to_owned).map_err(|_| {
                ApiError::new(Code::InvalidCursor, "`Last-Event-ID` is not a cursor")
            })?),
        };
        Ok(Self {
            live,
            last_event_id,
        })
    }
}

impl Following {
    /// Where to begin: `Last-Event-ID` if it was sent, else the query's cursor.
    ///
    /// # Errors
    /// `invalid_cursor`.
    pub(crate) fn after(&self, asked: Option<&str>) -> Result<u64, ApiError> {
        let last = self.last_event_id.as_deref().filter(|id| !id.is_empty());
        cursor::sequence(last.or(asked))
    }
}

/// What one look brought.
pub(crate) struct Batch<T> {
    /// Each with its cursor, ascending.
    pub(crate) items: Vec<(u64, T)>,
    /// Nothing will follow these.
    pub(crate) ended: bool,
    /// There may be more right now.
    pub(crate) more: bool,
    /// Where to look next: behind the last item, or behind what was skipped.
    pub(crate) after: u64,
}

impl<T> Batch<T> {
    /// A page of the store behind `after`. `ended` was asked before it was read, so that it holds everything up to the end.
    pub(crate) fn of<Row>(
        page: &helmr_store::Page<Row, u64>,
        after: u64,
        ended: bool,
        item: impl Fn(&Row) -> (u64, T),
    ) -> Self {
        let items: Vec<_> = page.items.iter().map(item).collect();
        Self {
            ended,
            more: page.next.is_some(),
            after: items.last().map_or(after, |(cursor, _)| *cursor),
            items,
        }
    }
}

/// What is followed.
pub(crate) trait Source: Send + 'static {
    type Item: Serialize + Send;

    /// Reads what lies behind `after`.
    fn look(
        &mut self,
        after: u64,
    ) -> impl Future<Output = Result<Batch<Self::Item>, ApiError>> + Send;

    /// What may bring news.
    fn topics(&self) -> Vec<Topic>;

    /// When to look whatever happens: the right to follow may end by then.
    fn until(&self) -> Option<Timestamp> {
        None
    }
}

struct Follower<S> {
    source: S,
    subscription: Subscription,
    control: Control,
    after: u64,
    look_now: bool,
    finished: bool,
}

/// Answers with `source` from `after` on, until it ends or the server does.
pub(crate) fn follow<S: Source>(control: &Control, after: u64, source: S) -> Response {
    let follower = Follower {
        // Before the first look, so that nothing falls between look and wait.
        subscription: control.news.subscribe(source.topics()),
        source,
        control: control.clone(),
        after,
        look_now: true,
        finished: false,
    };
    let mut response = Sse::new(events(follower))
        .keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
        .into_response();
    response
        .headers_mut()
        .insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

fn events<S: Source>(follower: Follower<S>) -> impl Stream<Item = Result<Event, Infallible>> {
    let batches = stream::unfold(follower, |mut follower| async move {
        if follower.finished {
            return None;
        }
        if !follower.look_now && !follower.wait().await {
            return None;
        }
        let events = follower.next_events().await;
        Some((stream::iter(events.into_iter().map(Ok)), follower))
    });
    futures_util::StreamExt::flatten(batches)
}

impl<S: Source> Follower<S> {
    /// Waits until a look may bring something. False: the server ends.
    async fn wait(&mut self) -> bool {
        let until = self.source.until();
        let clock = &self.control.clock;
        let due = async {
            match until {
                Some(until) => clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.control.ending.cancelled() => false,
            () = tokio::time::sleep(LOOK_ANYWAY) => true,
            () = self.subscription.news() => true,
            () = due => true,
        }
    }

    async fn next_events(&mut self) -> Vec<Event> {
        let batch = match self.source.look(self.after).await {
            Ok(batch) => batch,
            Err(error) => {
                self.finished = true;
                tracing::warn!(
                    "error.code" = error.code().as_str(),
                    cause = error.cause(),
                    "a follower ends"
                );
                let body = json!({ "code": error.code().as_str(), "message": error.message() });
                return vec![Event::default().event("error").data(body.to_string())];
            }
        };
        self.after = batch.after;
        self.look_now = batch.more;
        let mut events: Vec<Event> = Vec::with_capacity(batch.items.len() + 1);
        for (cursor, item) in &batch.items {
            // What came out of the store as JSON can be written as JSON.
            let data = serde_json::to_string(item).unwrap_or_default();
            events.push(Event::default().id(cursor.to_string()).data(data));
        }
        if batch.ended && !batch.more {
            self.finished = true;
            events.push(Event::default().event("end").data("{}"));
        }
        events
    }
}
