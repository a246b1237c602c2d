//! What a run printed, from a byte on.

use helmr_api::error::Code;
use helmr_api::http::page::Page;
use helmr_api::http::runs::{LogItem, LogQuery, LogStream as Wire};
use helmr_domain::RunId;
use helmr_store::runs::{self, LogStream};
use serde_json::json;

use super::{CUT, encode};
use crate::http::cursor;
use crate::state::Environment;
use crate::{ApiError, Control, ops};

/// Pieces in one answer, each of at most 64 KiB.
const MOST: u32 = 64;

/// Where a read begins.
pub(super) struct From {
    stream: LogStream,
    wire: Wire,
    offset: u64,
    limit: u32,
}

/// Reads which bytes a query asks for.
///
/// # Errors
/// `invalid_query` without a stream of bytes; `invalid_cursor`.
pub(super) fn read(query: &LogQuery, offset: u64) -> Result<From, ApiError> {
    let (stream, wire) = match query.stream {
        Some(Wire::Stdout) => (LogStream::Stdout, Wire::Stdout),
        Some(Wire::Stderr) => (LogStream::Stderr, Wire::Stderr),
        Some(Wire::Logger) | None => {
            return Err(ApiError::new(
                Code::InvalidQuery,
                "offset: needs stream=stdout or stream=stderr",
            ));
        }
    };
    let offset = match query.cursor.as_deref() {
        Some(cursor) => cursor::sequence(Some(cursor))?,
        None => offset,
    };
    Ok(From {
        stream,
        wire,
        offset,
        limit: cursor::limit(query.limit)?.min(MOST),
    })
}

pub(super) async fn page(
    control: &Control,
    environment: &Environment,
    run: RunId,
    from: From,
) -> Result<Page<LogItem>, ApiError> {
    let From {
        stream,
        wire,
        offset,
        limit,
    } = from;
    let scope = environment.row.scope;
    let log = runs::read_log(&control.store, scope, run, stream, offset, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = log.segments.len() > wanted;
    let mut items = Vec::new();
    let mut end = offset;
    let mut last_at = None;
    for segment in log.segments.into_iter().take(wanted) {
        let mut bytes = ops::logs::open(environment, run, stream, &segment.sealed)?;
        let skipped = offset.saturating_sub(segment.offset);
        let known = usize::try_from(skipped).unwrap_or(usize::MAX);
        bytes.drain(..known.min(bytes.len()));
        end = segment.offset.saturating_add(segment.size_bytes);
        last_at = Some(segment.created_at);
        let (data, encoding) = encode(bytes);
        items.push(LogItem {
            cursor: end.to_string(),
            at: segment.created_at.into(),
            attempt_number: Some(segment.attempt),
            stream: wire,
            offset: Some(segment.offset.saturating_add(skipped)),
            data,
            encoding,
            level: None,
            fields: None,
        });
    }
    if let (false, Some(cut_at)) = (more, log.cut_at.filter(|cut_at| *cut_at >= offset)) {
        items.push(LogItem {
            cursor: log.received_bytes.to_string(),
            at: last_at.unwrap_or_else(|| control.now()).into(),
            attempt_number: None,
            stream: wire,
            offset: Some(cut_at),
            data: CUT.to_owned(),
            encoding: helmr_api::http::runs::Encoding::Utf8,
            level: None,
            fields: Some(json!({ "cut_at": cut_at })),
        });
    }
    Ok(Page {
        items,
        next_cursor: more.then(|| end.to_string()),
    })
}
