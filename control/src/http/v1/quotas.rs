//! `/quotas`: what the caller's environment may hold.

use axum::Json as Answer;
use axum::extract::State;
use helmr_api::error::Code;
use helmr_api::http::quotas::{Quota, Quotas, QuotasAnswer, UpdateQuotas};
use helmr_store::quotas::{self, Change};

use crate::http::body::Json;
use crate::http::caller::Caller;
use crate::http::refusals::Refusals;
use crate::{ApiError, Control};

/// The largest number that every client can hold.
const MOST: u64 = (1 << 53) - 1;

fn view(found: quotas::Quotas) -> QuotasAnswer {
    let quotas::Quotas { limits, used } = found;
    let quota = |limit, used| Quota { limit, used };
    QuotasAnswer {
        quotas: Quotas {
            workspaces: quota(limits.workspaces, used.workspaces),
            version_bytes: quota(limits.version_bytes, used.version_bytes),
            machines: quota(limits.machines, used.machines),
        },
    }
}

/// Says what the environment may hold, and what it holds.
#[utoipa::path(get, path = "/api/v1/quotas", operation_id = "get_quotas", tag = "quotas",
    responses((status = OK, body = QuotasAnswer), Refusals))]
pub(crate) async fn get_quotas(
    State(control): State<Control>,
    caller: Caller,
) -> Result<Answer<QuotasAnswer>, ApiError> {
    Ok(Answer(view(
        quotas::get(&control.store, caller.scope()).await?,
    )))
}

/// Changes what the environment may hold. What it holds already stays, also over a new limit.
#[utoipa::path(patch, path = "/api/v1/quotas", operation_id = "update_quotas", tag = "quotas",
    request_body = UpdateQuotas, responses((status = OK, body = QuotasAnswer), Refusals))]
pub(crate) async fn update_quotas(
    State(control): State<Control>,
    caller: Caller,
    body: Json<UpdateQuotas>,
) -> Result<Answer<QuotasAnswer>, ApiError> {
    let UpdateQuotas {
        workspaces,
        version_bytes,
        machines,
    } = body.value;
    for limit in [workspaces, version_bytes, machines]
        .into_iter()
        .flatten()
        .flatten()
    {
        if limit > MOST {
            let message = format!("a quota is at most {MOST}");
            return Err(ApiError::new(Code::LimitExceeded, message));
        }
    }
    let change = Change {
        workspaces,
        version_bytes,
        machines,
    };
    let found = quotas::set(&control.store, caller.scope(), change).await?;
    tracing::info!(environment.id = %caller.scope().environment, "quotas changed");
    Ok(Answer(view(found)))
}
