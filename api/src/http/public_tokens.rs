//! Public access tokens: a capability for one token or one stream, fit for a browser.

use helmr_domain::{PublicTokenId, SessionId, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::streams::Direction;
use super::value::{Span, Time};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PublicToken {
    #[schema(value_type = String)]
    pub id: PublicTokenId,
    pub capability: Capability,
    /// How many completions or records it may bring; null: any number. What was accepted before costs none.
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
    /// How long it is valid: 24 hours unless told, 365 days at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<Span>,
    /// Not for reading: that spends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub max_uses: Option<u32>,
    /// Origins from which browsers may use it: at most 20, such as `https://app.example.com`. None: any.
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

/// Revokes a public access token.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevokePublicToken {}

/// Which public access tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListPublicTokens {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Only those that complete this token.
    pub token_id: Option<String>,
    /// Only those of this session's streams.
    pub session_id: Option<String>,
}
