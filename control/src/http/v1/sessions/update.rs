//! `PATCH /sessions/{id}`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::sessions::{SessionAnswer, UpdateSession};
use helmr_domain::SessionId;
use helmr_store::sessions::{self, Update};
use serde_json::Value;

use super::view;
use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::bounds;
use crate::{ApiError, Control};

/// Changes a session's tags or metadata, also when it has ended. What is absent stays as it is.
#[utoipa::path(patch, path = "/api/v1/sessions/{id}", operation_id = "update_session", tag = "sessions",
    params(("id" = String, Path)), request_body = UpdateSession,
    responses((status = OK, body = SessionAnswer), Refusals))]
pub(crate) async fn update_session(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<SessionId>,
    body: Json<UpdateSession>,
) -> Result<Answer<SessionAnswer>, ApiError> {
    let UpdateSession { tags, metadata } = body.value;
    if let Some(tags) = &tags {
        bounds::tags(tags)?;
    }
    if let Some(metadata) = &metadata {
        bounds::metadata(metadata)?;
    }
    let input = Update {
        at: control.moment()?,
        scope: caller.scope(),
        session: id,
        tags,
        metadata: metadata.map(Value::Object),
    };
    let session = sessions::update(&control.store, input).await?;
    Ok(Answer(view::answer(&session)))
}
