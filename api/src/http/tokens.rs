//! Tokens: values that somebody outside completes, once.

use helmr_domain::{RunId, SessionId, TokenId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::value::{Span, Time};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Token {
    #[schema(value_type = String, example = "tok_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: TokenId,
    pub status: TokenStatus,
    pub timeout_at: Time,
    /// What it was completed with; null before.
    pub data: Option<Value>,
    pub tags: Vec<String>,
    pub metadata: Value,
    /// The run that made it; null for one made by a client.
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    #[schema(value_type = Option<String>)]
    pub session_id: Option<SessionId>,
    pub created_at: Time,
    pub completed_at: Option<Time>,
    /// When it was completed, expired or cancelled.
    #[serde(default)]
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenStatus {
    Pending,
    Completed,
    Expired,
    Cancelled,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateToken {
    /// How long it can be completed: up to 365 days, 7 days unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// At most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// An object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// Origins from which browsers may use its public access token: at most 20, such as `https://app.example.com`. None:
    /// any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
}

/// The answer to a creation: the only one with the token's secrets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreatedToken {
    pub token: TokenWithSecrets,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenWithSecrets {
    #[serde(flatten)]
    pub token: Token,
    /// Completes this token and nothing else, as a bearer credential. Null in a replay after 24 hours.
    pub public_access_token: Option<String>,
    /// Completes this token with a `POST` that needs no header. Null in a replay after 24 hours.
    pub callback_url: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    pub token: Token,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteToken {
    /// At most 1 MiB. Equal data (as RFC 8785 writes it) again is answered with the first completion.
    pub data: Value,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCompletion {
    pub token: Token,
    /// An earlier request had completed it with equal data.
    pub already_completed: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelToken {}

/// What a callback is answered: nothing about the token but that it took.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CallbackTaken {
    pub ok: bool,
    pub already_completed: bool,
}

/// Which tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListTokens {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Only those in this status.
    #[param(value_type = Option<TokenStatus>)]
    pub status: Option<TokenStatus>,
    /// Only those that this run made.
    pub run_id: Option<String>,
    /// Only those that runs of this session made.
    pub session_id: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
}
