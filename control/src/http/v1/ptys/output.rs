//! `GET /ptys/{id}/output`: what a PTY prints, by byte offset.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::execs::{OutputItem, OutputQuery};
use helmr_api::http::page::Page;
use helmr_domain::PtyId;
use helmr_store::execs::Stream;

use crate::http::caller::Caller;
use crate::http::follow::Following;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::execs::output;
use crate::{ApiError, Control};

/// Reads what a PTY printed from a byte on, or follows it until the PTY has ended.
#[utoipa::path(get, path = "/api/v1/ptys/{id}/output", operation_id = "read_pty_output", tag = "ptys",
    params(("id" = String, Path), OutputQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<OutputItem> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn read_pty_output(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
    Query(query): Query<OutputQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    let process = id.into();
    output::answer(
        &control,
        &caller,
        (process, Stream::Stdout),
        &query,
        &following,
    )
    .await
}
