//! Public access tokens: a capability for one token or one stream, fit for a browser.

use helmr_domain::{PublicTokenId, SessionId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::streams::Direction;
use super::value::{Span, Time};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicToken {
    #[schema(value_type = String)]
    pub id: PublicTokenId,
    pub capability: Capability,
    pub max_uses: Option<u32>,
    pub uses: u32,
    /// Empty: any.
    pub allowed_origins: Vec<String>,
    pub expires_at: Option<Time>,
    pub revoked_at: Option<Time>,
    pub created_at: Time,
}

/// What the bearer may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Capability {
    /// Complete one token.
    Token {
        #[schema(value_type = String)]
        token_id: TokenId,
    },
    /// Send to an input stream, or read an output stream.
    Stream {
        #[schema(value_type = String)]
        session_id: SessionId,
        stream: String,
        direction: Direction,
        /// Only records of this correlation id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        correlation_id: Option<String>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePublicToken {
    pub capability: Capability,
    /// 24 hours unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Span>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
}

/// The only answer with the token itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedPublicToken {
    pub public_token: PublicToken,
    /// Null in a replay after 24 hours.
    pub secret: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicTokenAnswer {
    pub public_token: PublicToken,
}
