//! `/storage`, and `/environments/{id}/retention`.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::http::storage::{Retention, RetentionAnswer, StorageAnswer, UpdateRetention};
use helmr_api::http::value::Span;
use helmr_store::retention::{self, Change, Rule};

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::parameters::Path;
use crate::http::refusals::Refusals;
use crate::ops::{bounds, storage};
use crate::{ApiError, Control};

/// Tells what the artifact store takes, as the last round of garbage collection found it.
#[utoipa::path(get, path = "/api/v1/storage", operation_id = "get_storage", tag = "storage",
    responses((status = OK, body = StorageAnswer), Refusals))]
pub(crate) async fn get_storage(
    State(control): State<Control>,
    _: Caller,
) -> Result<Answer<StorageAnswer>, ApiError> {
    let storage = storage::look(&control).await?;
    Ok(Answer(StorageAnswer { storage }))
}

/// Runs a round of garbage collection now: every six hours one runs by itself. What nothing has named for a day is set
/// aside, and removed a day later.
#[utoipa::path(post, path = "/api/v1/storage/sweep", operation_id = "sweep_storage", tag = "storage",
    responses((status = OK, body = StorageAnswer), Refusals))]
pub(crate) async fn sweep_storage(
    State(control): State<Control>,
    _: Caller,
) -> Result<Answer<StorageAnswer>, ApiError> {
    let storage = storage::sweep(&control).await?;
    Ok(Answer(StorageAnswer { storage }))
}

/// Tells which versions of its workspaces' files an environment keeps.
#[utoipa::path(get, path = "/api/v1/environments/{id}/retention", operation_id = "get_retention", tag = "storage",
    params(("id" = String, Path, description = "Id or slug")),
    responses((status = OK, body = RetentionAnswer), Refusals))]
pub(crate) async fn get_retention(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer<RetentionAnswer>, ApiError> {
    caller.check_environment(&id)?;
    let rule = retention::rule(&control.store, caller.scope()).await?;
    Ok(Answer(answer(rule)))
}

/// Changes which versions of its workspaces' files an environment keeps. Those that the new rule does not keep go within
/// minutes; what people made by hand, forks and restores are always kept, and so is what a workspace stands on.
#[utoipa::path(patch, path = "/api/v1/environments/{id}/retention", operation_id = "update_retention", tag = "storage",
    params(("id" = String, Path, description = "Id or slug")), request_body = UpdateRetention,
    responses((status = OK, body = RetentionAnswer), Refusals))]
pub(crate) async fn update_retention(
    State(control): State<Control>,
    caller: Caller,
    Path(id): Path<String>,
    body: Json<UpdateRetention>,
) -> Result<Answer<RetentionAnswer>, ApiError> {
    caller.check_environment(&id)?;
    let UpdateRetention {
        keep_last,
        keep_for,
    } = body.value;
    if let Some(Some(count)) = keep_last {
        bounds::keep_last(count)?;
    }
    if let Some(Some(span)) = keep_for {
        bounds::keep_for(span.0)?;
    }
    let change = Change {
        keep_last,
        keep_for: keep_for.map(|span| span.map(|span| span.0)),
    };
    let rule = retention::set_rule(&control.store, caller.scope(), change).await?;
    tracing::info!("environment.id" = %caller.scope().environment, "retention changed");
    Ok(Answer(answer(rule)))
}

fn answer(rule: Rule) -> RetentionAnswer {
    RetentionAnswer {
        retention: Retention {
            keep_last: rule.keep_last,
            keep_for: Span(rule.keep_for),
        },
    }
}
