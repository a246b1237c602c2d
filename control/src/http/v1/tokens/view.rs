//! Tokens as clients and tasks see them.

use helmr_api::http::tokens::{Token, TokenStatus};
use helmr_domain::token::State;
use helmr_store::tokens::Token as Row;

pub(crate) fn token(row: &Row) -> Token {
    let (status, data, completed_at) = match &row.state {
        State::Pending => (TokenStatus::Pending, None, None),
        State::Completed { data, at } => (
            TokenStatus::Completed,
            // It was JSON when it was made canonical.
            serde_json::from_str(data.as_str()).ok(),
            Some((*at).into()),
        ),
        State::Expired { .. } => (TokenStatus::Expired, None, None),
        State::Cancelled { .. } => (TokenStatus::Cancelled, None, None),
    };
    Token {
        id: row.id,
        status,
        timeout_at: row.timeout_at.into(),
        data,
        tags: row.tags.clone(),
        metadata: row.metadata.clone(),
        run_id: row.run_id,
        session_id: row.session_id,
        created_at: row.created_at.into(),
        completed_at,
    }
}
