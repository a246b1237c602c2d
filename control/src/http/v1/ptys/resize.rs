//! `POST /ptys/{id}/resize` and `…/close`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::ptys::{ClosePty, PtyAnswer, ResizePty};
use helmr_domain::PtyId;
use helmr_store::execs;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control};

/// Sets a PTY's size, for everybody who looks at it. The size that it has makes its programs draw anew.
#[utoipa::path(post, path = "/api/v1/ptys/{id}/resize", operation_id = "resize_pty", tag = "ptys",
    params(("id" = String, Path)), request_body = ResizePty,
    responses((status = OK, body = PtyAnswer), Refusals))]
pub(crate) async fn resize_pty(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
    body: Json<ResizePty>,
) -> Result<Answer<PtyAnswer>, ApiError> {
    let size = bounds::terminal(body.value.cols, body.value.rows)?;
    let at = control.moment()?;
    let pty = execs::resize(&control.store, caller.scope(), id, size, at).await?;
    Ok(Answer(view::answer(&pty)))
}

/// Hangs a PTY up: everything in it gets SIGHUP, and 10 s later what is left SIGKILL. One that has ended is answered as
/// it is.
#[utoipa::path(post, path = "/api/v1/ptys/{id}/close", operation_id = "close_pty", tag = "ptys",
    params(("id" = String, Path)), request_body = ClosePty,
    responses((status = OK, body = PtyAnswer), Refusals))]
pub(crate) async fn close_pty(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<PtyId>,
    _: Json<ClosePty>,
) -> Result<Answer<PtyAnswer>, ApiError> {
    let at = control.moment()?;
    let pty = execs::close(&control.store, caller.scope(), id, at).await?;
    Ok(Answer(view::answer(&pty)))
}
