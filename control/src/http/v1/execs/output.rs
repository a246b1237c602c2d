//! `GET /execs/{id}/stdout` and `…/stderr`: what an exec prints, by byte offset.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::execs::{OutputItem, OutputQuery};
use helmr_api::http::page::Page;
use helmr_domain::ExecId;
use helmr_store::Hint;
use helmr_store::execs::{self, Stream};
use serde_json::json;

use super::read;
use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::runs::logs::encode;
use crate::news::Topic;
use crate::state::Environment;
use crate::{ApiError, Control, ops};

/// Pieces read in one go, each of at most 64 KiB.
const PIECES: u32 = 16;

/// Reads what an exec printed to its standard output from a byte on, or follows it until the exec has ended.
#[utoipa::path(get, path = "/api/v1/execs/{id}/stdout", operation_id = "read_exec_stdout", tag = "execs",
    params(("id" = String, Path), OutputQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<OutputItem> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn read_exec_stdout(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ExecId>,
    Query(query): Query<OutputQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    answer(&control, &caller, id, Stream::Stdout, &query, &following).await
}

/// Reads what an exec printed to its standard error from a byte on, or follows it until the exec has ended.
#[utoipa::path(get, path = "/api/v1/execs/{id}/stderr", operation_id = "read_exec_stderr", tag = "execs",
    params(("id" = String, Path), OutputQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<OutputItem> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn read_exec_stderr(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ExecId>,
    Query(query): Query<OutputQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    answer(&control, &caller, id, Stream::Stderr, &query, &following).await
}

async fn answer(
    control: &Control,
    caller: &Caller,
    id: ExecId,
    stream: Stream,
    query: &OutputQuery,
    following: &Following,
) -> Result<Response, ApiError> {
    read::find(control, caller, id).await?;
    let after = following.after(query.cursor.as_deref())?;
    let mut output = Output {
        control: control.clone(),
        environment: caller.environment.clone(),
        exec: id,
        stream,
        pieces: PIECES,
    };
    if following.live {
        // A window that has left the offset behind is refused before anything is answered.
        output.look(after).await?;
        return Ok(follow::follow(control, after, output));
    }
    output.pieces = cursor::limit(query.limit)?.min(PIECES);
    let batch = output.look(after).await?;
    let next_cursor = batch.more.then(|| batch.after.to_string());
    let items = batch.items.into_iter().map(|(_, item)| item).collect();
    Ok(Json(Page { items, next_cursor }).into_response())
}

/// One of an exec's output streams.
struct Output {
    control: Control,
    environment: Environment,
    exec: ExecId,
    stream: Stream,
    pieces: u32,
}

impl Source for Output {
    type Item = OutputItem;

    async fn look(&mut self, after: u64) -> Result<Batch<OutputItem>, ApiError> {
        let (store, scope) = (&self.control.store, self.environment.row.scope);
        let found =
            execs::read_output(store, scope, self.exec, self.stream, after, self.pieces).await?;
        if after < found.window.start {
            let earliest = found.window.start;
            let message = format!("what was printed before byte {earliest} is not kept any more");
            return Err(ApiError::new(Code::CursorExpired, message)
                .with_details(json!({ "earliest_cursor": earliest.to_string() })));
        }
        let mut batch = Batch {
            items: Vec::new(),
            ended: found.ended,
            more: false,
            after,
        };
        for piece in &found.pieces {
            let bytes = ops::execs::open_output(&self.environment, self.exec, self.stream, piece)?;
            let known = batch.after.saturating_sub(piece.offset);
            let fresh = usize::try_from(known)
                .ok()
                .and_then(|known| bytes.get(known..))
                .unwrap_or_default();
            let offset = piece.offset + known;
            batch.after = piece.offset + piece.size_bytes;
            let (data, encoding) = encode(fresh.to_vec());
            let item = OutputItem {
                offset,
                cursor: batch.after.to_string(),
                data,
                encoding,
            };
            batch.items.push((batch.after, item));
        }
        batch.more = batch.after < found.window.end;
        Ok(batch)
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::Of(Hint::Exec(self.exec))]
    }
}
