//! Events: what happened, in order, written with the change itself.

use helmr_domain::{RunId, SessionId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::value::Time;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its place among the events of its subject; give it as `cursor` or `Last-Event-ID` for what follows.
    pub cursor: String,
    pub at: Time,
    /// For example `run.started` or `wait.created`.
    pub kind: String,
    #[schema(value_type = Option<String>)]
    pub run_id: Option<RunId>,
    #[schema(value_type = Option<String>)]
    pub session_id: Option<SessionId>,
    #[schema(value_type = Option<String>)]
    pub workspace_id: Option<WorkspaceId>,
    pub attempt_number: Option<u32>,
    pub attributes: Value,
}
