//! `GET /execs/{id}/stdout` and `…/stderr`: what an exec prints, by byte offset. A PTY's output is read alike.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use helmr_api::error::Code;
use helmr_api::http::execs::{OutputItem, OutputQuery};
use helmr_api::http::page::Page;
use helmr_domain::{ExecId, ProcessId};
use helmr_store::Hint;
use helmr_store::execs::{self, Stream};
use serde_json::json;

use crate::http::caller::Caller;
use crate::http::cursor;
use crate::http::follow::{self, Batch, Following, Source};
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::runs::logs::encode;
use crate::news::Topic;
use crate::state::Environment;
use crate::{ApiError, Control, ops, refusal};

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
    let process = id.into();
    answer(
        &control,
        &caller,
        (process, Stream::Stdout),
        &query,
        &following,
    )
    .await
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
    let process = id.into();
    answer(
        &control,
        &caller,
        (process, Stream::Stderr),
        &query,
        &following,
    )
    .await
}

/// Answers with what a process prints to `stream`.
///
/// # Errors
/// `exec_not_found`, `pty_not_found`, `cursor_expired`, `invalid_cursor`.
pub(crate) async fn answer(
    control: &Control,
    caller: &Caller,
    (process, stream): (ProcessId, Stream),
    query: &OutputQuery,
    following: &Following,
) -> Result<Response, ApiError> {
    if execs::get(&control.store, caller.scope(), process)
        .await?
        .is_none()
    {
        return Err(match process {
            ProcessId::Exec(_) => refusal::not_found("exec"),
            ProcessId::Pty(_) => refusal::not_found("pty"),
        });
    }
    let after = following.after(query.cursor.as_deref())?;
    let mut output = Output {
        control: control.clone(),
        environment: caller.environment.clone(),
        process,
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

/// One of a process's output streams.
pub(crate) struct Output {
    control: Control,
    environment: Environment,
    process: ProcessId,
    stream: Stream,
    pieces: u32,
}

impl Output {
    /// Everything that a process prints to standard output.
    pub(crate) fn of(control: &Control, environment: &Environment, process: ProcessId) -> Self {
        Self {
            control: control.clone(),
            environment: environment.clone(),
            process,
            stream: Stream::Stdout,
            pieces: PIECES,
        }
    }

    /// Reads bytes behind `after`, each piece with its offset and the one behind it.
    ///
    /// # Errors
    /// `cursor_expired` if the window has left that behind.
    pub(crate) async fn bytes(&self, after: u64) -> Result<Batch<(u64, Vec<u8>)>, ApiError> {
        let (store, scope) = (&self.control.store, self.environment.row.scope);
        let found =
            execs::read_output(store, scope, self.process, self.stream, after, self.pieces).await?;
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
            let bytes =
                ops::execs::open_output(&self.environment, self.process, self.stream, piece)?;
            let known = batch.after.saturating_sub(piece.offset);
            let fresh = usize::try_from(known)
                .ok()
                .and_then(|known| bytes.get(known..))
                .unwrap_or_default();
            let offset = piece.offset + known;
            batch.after = piece.offset + piece.size_bytes;
            batch.items.push((batch.after, (offset, fresh.to_vec())));
        }
        batch.more = batch.after < found.window.end;
        Ok(batch)
    }
}

impl Source for Output {
    type Item = OutputItem;

    async fn look(&mut self, after: u64) -> Result<Batch<OutputItem>, ApiError> {
        let found = self.bytes(after).await?;
        let item = |(behind, (offset, bytes))| {
            let (data, encoding) = encode(bytes);
            let item = OutputItem {
                offset,
                cursor: u64::to_string(&behind),
                data,
                encoding,
            };
            (behind, item)
        };
        Ok(Batch {
            items: found.items.into_iter().map(item).collect(),
            ended: found.ended,
            more: found.more,
            after: found.after,
        })
    }

    fn topics(&self) -> Vec<Topic> {
        vec![Topic::Of(Hint::Process(self.process))]
    }
}
