//! `POST /execs/{id}/stdin`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::execs::{ExecAnswer, WriteStdin};
use helmr_domain::ExecId;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Writes to an exec's input from an offset on, so that a write may be repeated. 4 MiB may wait to be taken.
#[utoipa::path(post, path = "/api/v1/execs/{id}/stdin", operation_id = "write_exec_stdin", tag = "execs",
    params(("id" = String, Path)), request_body = WriteStdin,
    responses((status = OK, body = ExecAnswer), Refusals))]
pub(crate) async fn write_exec_stdin(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ExecId>,
    body: Json<WriteStdin>,
) -> Result<Answer<ExecAnswer>, ApiError> {
    let exec = ops::execs::write(&control, &caller.environment, id, body.value).await?;
    Ok(Answer(view::answer(&exec)))
}
