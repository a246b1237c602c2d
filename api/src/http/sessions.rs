//! Sessions: a task's invocation and its history.

use helmr_domain::{DeploymentId, ResourceName, RunId, SessionId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

use super::runs::Run;
use super::value::{Span, Time, given};

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    #[schema(value_type = String, example = "ses_01k2m3n4p5q6r7s8t9v0w1x2y3")]
    pub id: SessionId,
    pub external_id: Option<String>,
    pub task: String,
    #[schema(value_type = String)]
    pub deployment_id: DeploymentId,
    #[schema(value_type = String)]
    pub workspace_id: WorkspaceId,
    pub status: SessionStatus,
    pub activity: SessionActivity,
    #[schema(value_type = Option<String>)]
    pub current_run_id: Option<RunId>,
    pub metadata: Value,
    pub tags: Vec<String>,
    pub expires_at: Option<Time>,
    /// What the last succeeded run returned.
    pub result: Option<Value>,
    /// Why the last run failed.
    pub error: Option<Value>,
    /// What whoever cancelled it gave as the reason.
    #[serde(default)]
    pub cancel_reason: Option<String>,
    pub created_at: Time,
    pub ended_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStatus {
    Open,
    Closed,
    Cancelled,
    Expired,
}

impl SessionStatus {
    /// As it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionActivity {
    Idle,
    Queued,
    Running,
    Waiting,
}

/// Starts a task in a new session, or finds the open session of the same `external_id`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartSession {
    #[schema(value_type = String, example = "release")]
    pub task: ResourceName,
    /// Absent where the task declares no payload. At most 4 MiB.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// Attaches the session to a workspace that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub workspace_id: Option<WorkspaceId>,
    /// 5 to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_duration_seconds: Option<u64>,
    /// How long the run may be queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Span>,
    /// Higher goes first in the queue; that of the task's queue unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i64>,
    /// Runs with different keys are counted apart in the task's queue: 1 to 128 characters; that of the queue unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_key: Option<String>,
    /// At most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// An object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    /// When the session ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StartedSession {
    pub session: Session,
    pub run: Run,
    /// The session was open already.
    pub reused: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionAnswer {
    pub session: Session,
}

/// Which sessions.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListSessions {
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    pub cursor: Option<String>,
    /// Only those in this status.
    #[param(value_type = Option<SessionStatus>)]
    pub status: Option<SessionStatus>,
    /// Only those of this task.
    pub task: Option<String>,
    /// Only those with this external id.
    pub external_id: Option<String>,
    /// Only those with this tag.
    pub tag: Option<String>,
    /// Only those in this workspace.
    pub workspace_id: Option<String>,
}

/// Changes what people note about a session. What is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateSession {
    /// All of its tags: at most 10, of at most 128 characters each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// All of its metadata: an object of at most 256 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
}

/// Closes a session. Its runs have ended; nothing can be sent to it any more.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseSession {}

/// Cancels a session and its active run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelSession {
    /// For people and for the task: at most 1,024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
