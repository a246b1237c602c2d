//! `POST /execs/{id}/signal`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::execs::{ExecAnswer, SignalExec};
use helmr_domain::ExecId;
use helmr_store::execs;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// Sends a signal to an exec's process and everything it started. One that waits for a machine ends by it; one that has
/// ended takes none, and is answered as it is.
#[utoipa::path(post, path = "/api/v1/execs/{id}/signal", operation_id = "signal_exec", tag = "execs",
    params(("id" = String, Path)), request_body = SignalExec,
    responses((status = OK, body = ExecAnswer), Refusals))]
pub(crate) async fn signal_exec(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<ExecId>,
    body: Json<SignalExec>,
) -> Result<Answer<ExecAnswer>, ApiError> {
    let signal = body.value.signal.0;
    let at = control.moment()?;
    let exec = execs::signal(&control.store, caller.scope(), id.into(), signal, at).await?;
    Ok(Answer(view::answer(&exec)))
}
