//! `POST /runs/{id}/cancel`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::runs::{CancelRun, RunAnswer};
use helmr_domain::RunId;
use helmr_store::runs;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control};

/// Cancels a run. A queued one ends at once, a running one has a grace of 10 s, a parked one is woken for it.
#[utoipa::path(post, path = "/api/v1/runs/{id}/cancel", operation_id = "cancel_run", tag = "runs",
    params(("id" = String, Path)), request_body = CancelRun,
    responses((status = OK, body = RunAnswer), Refusals))]
pub(crate) async fn cancel_run(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<RunId>,
    body: Json<CancelRun>,
) -> Result<Answer<RunAnswer>, ApiError> {
    bounds::reason(body.value.reason.as_deref())?;
    let at = control.moment()?;
    let run = runs::cancel(&control.store, caller.scope(), id, body.value.reason, at).await?;
    tracing::info!("run.id" = %id, "run cancelled");
    Ok(Answer(RunAnswer {
        run: view::run(&run, at.now),
    }))
}
