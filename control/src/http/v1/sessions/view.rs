//! Sessions as clients see them.

use helmr_api::http::sessions::{Session, SessionActivity, SessionAnswer, SessionStatus};
use helmr_domain::session::State;
use helmr_store::sessions::{Activity, Session as Row};
use serde_json::json;

pub(crate) fn answer(row: &Row) -> SessionAnswer {
    SessionAnswer {
        session: session(row),
    }
}

pub(crate) fn session(row: &Row) -> Session {
    Session {
        id: row.id,
        external_id: row.external_id.clone(),
        task: row.task_id.to_string(),
        deployment_id: row.deployment_id,
        workspace_id: row.workspace_id,
        status: match row.state {
            State::Open => SessionStatus::Open,
            State::Closed { .. } => SessionStatus::Closed,
            State::Cancelled { .. } => SessionStatus::Cancelled,
            State::Expired { .. } => SessionStatus::Expired,
        },
        activity: match row.activity {
            Activity::Idle => SessionActivity::Idle,
            Activity::Queued => SessionActivity::Queued,
            Activity::Running => SessionActivity::Running,
            Activity::Waiting => SessionActivity::Waiting,
        },
        current_run_id: row.active_run,
        metadata: row.metadata.clone(),
        tags: row.tags.clone(),
        expires_at: row.expires_at.map(Into::into),
        result: row.result.clone(),
        error: row.error.as_ref().map(|failure| json!(failure)),
        cancel_reason: row.cancel_text.clone(),
        created_at: row.created_at.into(),
        ended_at: row.ended_at.map(Into::into),
    }
}
