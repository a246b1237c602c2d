//! The outbox: effects that were committed and still have to be told. The relay looks at the subject again.

use helmr_domain::{Moment, WorkspaceId};

use crate::{Result, Store};

/// An assignment to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    pub workspace_id: WorkspaceId,
    /// The assignment's revision when it was marked last.
    pub mark: u64,
}

/// Workspaces whose assignment changed, longest ago first.
///
/// # Errors
/// If the database fails.
pub async fn pending(store: &Store, limit: u32) -> Result<Vec<Dirty>> {
    todo!()
}

/// Takes what was pushed out of the outbox, unless it changed again meanwhile.
///
/// # Errors
/// If the database fails.
pub async fn done(store: &Store, told: Vec<Dirty>) -> Result<()> {
    todo!()
}
