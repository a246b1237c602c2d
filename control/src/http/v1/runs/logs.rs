//! `GET /runs/{id}/logs`: what a run printed and logged, in the order in which it came.
//!
//! The order is that of the run's `log` events: each carries an entry of the logger or names a range of output.

mod offset;

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use helmr_api::error::Code;
use helmr_api::http::page::Page;
use helmr_api::http::runs::{Encoding, LogItem, LogQuery, LogStream as Wire};
use helmr_domain::{EventKind, RunId};
use helmr_store::events::{self, Event};
use helmr_store::runs::{self, LogStream, Segment};
use helmr_store::{Hint, Subject};
use serde_json::{Value, json};

use super::events::RunEnded;
use super::read;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::Ended as _;
use crate::news::Topic;
use crate::state::Environment;
use crate::{ApiError, Control, ops};

/// Events looked at in one go, of which some may be of other kinds.
const EVENTS: u32 = 50;

/// Stands where output was cut: what was printed from there on is not kept.
const CUT: &str = "\n[the log ends here: what was printed from here on is not kept]\n";

/// Lists what a run printed and logged, oldest first, or follows it until the run's end.
#[utoipa::path(get, path = "/api/v1/runs/{id}/logs", operation_id = "list_run_logs", tag = "runs",
    params(("id" = String, Path), LogQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<LogItem> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_run_logs(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(query): Query<LogQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    read::find(&control, &caller, id).await?;
    if let Some(offset) = query.offset {
        if following.live {
            return Err(ApiError::new(
                Code::InvalidQuery,
                "offset: a read by offset is not followed; leave it out, or ask for JSON",
            ));
        }
        let from = offset::read(&query, offset)?;
        let page = offset::page(&control, &caller.environment, id, from).await?;
        return Ok(Json(page).into_response());
    }
    let after = following.after(query.cursor.as_deref())?;
    let mut log = Log {
        control: control.clone(),
        environment: caller.environment.clone(),
        run: id,
        only: query.stream,
    };
    if following.live {
        return Ok(follow::follow(&control, after, log));
    }
    let limit = usize::try_from(cursor::limit(query.limit)?).unwrap_or(usize::MAX);
    let (mut items, mut after) = (Vec::new(), after);
    let more = loop {
        let batch = log.read(after, limit - items.len()).await?;
        items.extend(batch.items.into_iter().map(|(_, item)| item));
        after = batch.after;
        if !batch.more || items.len() >= limit {
            break batch.more;
        }
    };
    Ok(Json(Page {
        items,
        next_cursor: more.then(|| after.to_string()),
    })
    .into_response())
}

/// The log of one run.
struct Log {
    control: Control,
    environment: Environment,
    run: RunId,
    /// Only this stream.
    only: Option<Wire>,
}

impl Source for Log {
    type Item = LogItem;

    async fn look(&mut self, after: u64) -> Result<Batch<LogItem>, ApiError> {
        let ended = RunEnded {
            scope: self.environment.row.scope,
            id: self.run,
        }
        .ended(&self.control)
        .await?;
        let mut batch = self.read(after, usize::MAX).await?;
        batch.ended = ended;
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        let events = Hint::Events(Subject::Run(self.run));
        vec![Topic::Of(events), Topic::Of(Hint::Log(self.run))]
    }
}

impl Log {
    /// Reads up to `most` items among the events behind `after`.
    async fn read(&mut self, after: u64, most: usize) -> Result<Batch<LogItem>, ApiError> {
        let scope = self.environment.row.scope;
        let store = &self.control.store;
        let subject = Subject::Run(self.run);
        let page = events::page(store, scope, subject, after, EVENTS).await?;
        let mut batch = Batch {
            items: Vec::new(),
            ended: false,
            more: page.next.is_some(),
            after,
        };
        let mut output = Output::default();
        for event in &page.items {
            if batch.items.len() >= most {
                batch.more = true;
                break;
            }
            batch.after = event.sequence;
            if event.kind == EventKind::Log
                && let Some(item) = self.item(event, &mut output).await?
            {
                batch.items.push((event.sequence, item));
            }
        }
        Ok(batch)
    }

    async fn item(&self, event: &Event, output: &mut Output) -> Result<Option<LogItem>, ApiError> {
        let told = &event.attributes;
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let stream = match text("stream").as_deref() {
            Some("stdout") => Some(LogStream::Stdout),
            Some("stderr") => Some(LogStream::Stderr),
            Some(_) | None => None,
        };
        let wire = match stream {
            Some(LogStream::Stdout) => Wire::Stdout,
            Some(LogStream::Stderr) => Wire::Stderr,
            None => Wire::Logger,
        };
        if self.only.is_some_and(|only| only != wire) {
            return Ok(None);
        }
        let mut item = LogItem {
            cursor: event.sequence.to_string(),
            at: event.at.into(),
            attempt_number: event.attempt,
            stream: wire,
            offset: None,
            data: text("message").unwrap_or_default(),
            encoding: Encoding::Utf8,
            level: text("level"),
            fields: told.get("fields").cloned(),
        };
        if let Some(stream) = stream {
            let number = |name: &str| told.get(name).and_then(Value::as_u64);
            if let Some(cut_at) = number("cut_at") {
                item.offset = Some(cut_at);
                item.data = CUT.to_owned();
                item.fields = Some(json!({ "cut_at": cut_at }));
                return Ok(Some(item));
            }
            let (start, end) = (number("start").unwrap_or(0), number("end").unwrap_or(0));
            item.offset = Some(start);
            let bytes = output.range(self, stream, start, end).await?;
            (item.data, item.encoding) = encode(bytes);
        } else if told.contains_key("entries_cut") {
            item.data = CUT.to_owned();
            item.fields = Some(json!({ "cut": true }));
        }
        Ok(Some(item))
    }
}

/// Text as it is, anything else in base64.
pub(crate) fn encode(bytes: Vec<u8>) -> (String, Encoding) {
    match String::from_utf8(bytes) {
        Ok(text) => (text, Encoding::Utf8),
        Err(error) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
    }
}

/// Segments read ahead while a batch is put together.
#[derive(Default)]
struct Output(HashMap<(bool, u64), Segment>);

/// Read in one go.
const SEGMENTS: u32 = 16;

impl Output {
    /// The bytes of a range of output.
    async fn range(
        &mut self,
        log: &Log,
        stream: LogStream,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>, ApiError> {
        let is_stdout = stream == LogStream::Stdout;
        let mut at = start;
        let mut bytes = Vec::new();
        while at < end {
            if !self.0.contains_key(&(is_stdout, at)) {
                let scope = log.environment.row.scope;
                let store = &log.control.store;
                let read = runs::read_log(store, scope, log.run, stream, at, SEGMENTS).await?;
                for segment in read.segments {
                    self.0.insert((is_stdout, segment.offset), segment);
                }
            }
            // A range that is told is kept as long as the run is; one that is not there has nothing to show.
            let Some(segment) = self.0.remove(&(is_stdout, at)) else {
                break;
            };
            bytes.extend(ops::logs::open(
                &log.environment,
                log.run,
                stream,
                &segment.sealed,
            )?);
            at = segment.offset.saturating_add(segment.size_bytes.max(1));
        }
        Ok(bytes)
    }
}
