//! `GET /runs/{id}/events`.

use axum::extract::State;
use axum::response::Response;
use helmr_api::http::events::Event;
use helmr_api::http::page::{Page, PageQuery};
use helmr_domain::{RunId, Scope};
use helmr_store::{Subject, runs};

use super::read;
use crate::http::caller::Caller;
use crate::http::follow::Following;
use crate::http::parameters::{Path, Query};
use crate::http::refusals::Refusals;
use crate::http::v1::events::{self, Ended};
use crate::{ApiError, Control};

/// Lists a run's events, oldest first. With `Accept: text/event-stream` they are followed until the run's end.
#[utoipa::path(get, path = "/api/v1/runs/{id}/events", operation_id = "list_run_events", tag = "runs",
    params(("id" = String, Path), PageQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((status = OK, content((Page<Event> = "application/json"), (String = "text/event-stream"))), Refusals))]
pub(crate) async fn list_run_events(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<RunId>,
    Query(query): Query<PageQuery>,
    following: Following,
) -> Result<Response, ApiError> {
    read::find(&control, &caller, id).await?;
    let scope = caller.scope();
    let ended = RunEnded { scope, id };
    events::answer(&control, scope, Subject::Run(id), &query, &following, ended).await
}

/// A run that ended has no more events.
pub(super) struct RunEnded {
    pub(super) scope: Scope,
    pub(super) id: RunId,
}

impl Ended for RunEnded {
    async fn ended(&self, control: &Control) -> Result<bool, ApiError> {
        let run = runs::get(&control.store, self.scope, self.id).await?;
        Ok(run.is_none_or(|run| run.state.status().is_final()))
    }
}
