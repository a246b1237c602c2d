//! Tokens.

use helmr_api::http::tokens::{Token, TokenStatus, TokenWithSecrets};

use super::{ago, compact, joined, told, when, word};
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str = "No tokens yet: `tokens.create()` in a task makes one.";

pub(crate) fn list(tokens: &[Token], style: Style) -> String {
    let mut table = Table::new(["ID", "STATUS", "TAGS", "RUN", "TIMES OUT", "CREATED"]);
    for token in tokens {
        table.row([
            token.id.to_string(),
            word(&token.status),
            token.tags.join(", "),
            token.run_id.map(|run| run.to_string()).unwrap_or_default(),
            ago(token.timeout_at),
            ago(token.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(token: &Token, style: Style) -> String {
    properties(token).render(style)
}

pub(crate) fn created(token: &TokenWithSecrets, style: Style) -> String {
    properties(&token.token)
        .maybe("access token", token.public_access_token.as_deref())
        .maybe("callback URL", token.callback_url.as_deref())
        .render(style)
}

fn properties(token: &Token) -> Properties {
    Properties::new()
        .line("token", token.id.to_string())
        .line("status", word(&token.status))
        .maybe("data", token.data.as_ref().map(compact))
        .maybe("tags", joined(&token.tags))
        .maybe("metadata", told(&token.metadata))
        .maybe("run", token.run_id.map(|run| run.to_string()))
        .maybe(
            "session",
            token.session_id.map(|session| session.to_string()),
        )
        .line("times out", when(token.timeout_at))
        .line("created", when(token.created_at))
        .maybe(ending(token.status), token.ended_at.map(when))
}

/// What the time of its end is called.
const fn ending(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Pending | TokenStatus::Completed => "completed",
        TokenStatus::Expired => "expired",
        TokenStatus::Cancelled => "cancelled",
    }
}
