//! Events: what happened to a subject, in order, told in the transaction in which it did.

use helmr_domain::{EventKind, RunId, Scope, SessionId, Timestamp, WorkspaceId};
use serde_json::{Map, Value};

use crate::{Result, Store, Subject};

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Counts the subject's events from 1; the cursor.
    pub sequence: u64,
    pub kind: EventKind,
    pub at: Timestamp,
    pub run_id: Option<RunId>,
    pub session_id: Option<SessionId>,
    pub workspace_id: Option<WorkspaceId>,
    pub attempt: Option<u32>,
    pub attributes: Map<String, Value>,
}

/// A subject's events after a sequence, ascending.
///
/// # Errors
/// If the database fails.
pub async fn list(
    store: &Store,
    scope: Scope,
    subject: Subject,
    after: u64,
    limit: u32,
) -> Result<Vec<Event>> {
    todo!()
}
