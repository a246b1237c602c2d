//! Tokens as clients and tasks see them.

use helmr_api::http::tokens::{Token, TokenStatus};
use helmr_domain::token::State;
use helmr_store::tokens::Token as Row;

pub(crate) fn token(row: &Row) -> Token {
    let (status, data, ended_at) = match &row.state {
        State::Pending => (TokenStatus::Pending, None, None),
        State::Completed { data, at } => (
            TokenStatus::Completed,
            // It was JSON when it was made canonical.
            serde_json::from_str(data.as_str()).ok(),
            Some(*at),
        ),
        State::Expired { at } => (TokenStatus::Expired, None, Some(*at)),
        State::Cancelled { at } => (TokenStatus::Cancelled, None, Some(*at)),
    };
    let ended_at = ended_at.map(Into::into);
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
        completed_at: ended_at.filter(|_| status == TokenStatus::Completed),
        ended_at,
    }
}
