//! `POST /ptys/{id}/input`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::ptys::{PtyAnswer, WriteInput};
use helmr_domain::PtyId;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control, ops};

/// Types in a PTY, from an offset on, so that a write may be repeated, or behind whatever was typed. It wakes a machine
/// that is parked. 4 MiB may wait to be taken.
#[utoipa::path(post, path = "/api/v1/ptys/{id}/input", operation_id = "write_pty_input", tag = "ptys",
    params(("id" = String, Path)), request_body = WriteInput,
    responses((status = OK, body = PtyAnswer), Refusals))]
pub(crate) async fn write_pty_input(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
    body: Json<WriteInput>,
) -> Result<Answer<PtyAnswer>, ApiError> {
    let pty = ops::ptys::write(&control, &caller.environment, id, body.value).await?;
    Ok(Answer(view::answer(&pty)))
}
