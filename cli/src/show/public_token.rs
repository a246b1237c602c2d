//! Public access tokens.

use helmr_api::http::public_tokens::{Capability, CreatedPublicToken, PublicToken};

use super::{ago, joined, when, word};
use crate::style::Style;
use crate::table::{Properties, Table};

/// Said instead of an empty list.
pub(crate) const NOTHING: &str =
    "No public access tokens yet: `helmr public-token create` makes one.";

pub(crate) fn list(tokens: &[PublicToken], style: Style) -> String {
    let mut table = Table::new(["ID", "FOR", "USES", "STATUS", "CREATED"]);
    for token in tokens {
        table.row([
            token.id.to_string(),
            capability(&token.capability),
            uses(token),
            status(token),
            ago(token.created_at),
        ]);
    }
    table.render(style)
}

pub(crate) fn one(token: &PublicToken, style: Style) -> String {
    properties(token).render(style)
}

pub(crate) fn created(created: &CreatedPublicToken, style: Style) -> String {
    properties(&created.public_token)
        .maybe("access token", created.secret.as_deref())
        .render(style)
}

fn properties(token: &PublicToken) -> Properties {
    Properties::new()
        .line("public token", token.id.to_string())
        .line("for", capability(&token.capability))
        .line("uses", uses(token))
        .maybe("origins", joined(&token.allowed_origins))
        .line("created", when(token.created_at))
        .maybe("expires", token.expires_at.map(when))
        .maybe("revoked", token.revoked_at.map(when))
}

/// `complete tok_…`, `input inbox of ses_…`.
fn capability(capability: &Capability) -> String {
    match capability {
        Capability::Token { token_id } => format!("complete {token_id}"),
        Capability::Stream {
            session_id,
            stream,
            direction,
            correlation_id,
        } => {
            let only = match correlation_id {
                Some(id) => format!(" [{id}]"),
                None => String::new(),
            };
            format!("{} {stream}{only} of {session_id}", word(direction))
        }
    }
}

fn uses(token: &PublicToken) -> String {
    match token.max_uses {
        Some(most) => format!("{} of {most}", token.uses),
        None => token.uses.to_string(),
    }
}

fn status(token: &PublicToken) -> String {
    match (token.revoked_at, token.expires_at) {
        (Some(_), _) => "revoked".to_owned(),
        (None, Some(at)) if at.0 <= crate::now() => "expired".to_owned(),
        (None, Some(at)) => format!("expires {}", ago(at)),
        (None, None) => "valid".to_owned(),
    }
}
