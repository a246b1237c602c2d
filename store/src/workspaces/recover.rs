//! A workspace that was live on a worker that is lost.

use helmr_domain::{Moment, Scope, WorkspaceId};

use super::attach::not_active;
use super::{State, Workspace, row};
use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store};

sql! {
    /// One that is deleted stays so.
    NEED_RECOVERY = "UPDATE workspaces
        SET state = 'recovery_required'
        WHERE id = $1 AND state = 'active'";
}

/// Goes on from the last version of a workspace that was live on a lost worker. One that is active stays as it is.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)` if it is archived or deleted.
pub async fn recover(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    _at: Moment,
) -> Result<Workspace> {
    store
        .write((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let mut found = row::get(tx, scope, id).await?;
                match found.state {
                    State::Active => {}
                    State::RecoveryRequired => {
                        found.state = State::Active;
                        row::set_state(tx, id, State::Active).await?;
                        tx.hint(Hint::Queue);
                    }
                    State::Archived | State::Deleted => return Err(not_active(&found)),
                }
                Ok(found)
            })
        })
        .await
}

/// Nothing acts for the workspace until someone chooses how to go on.
pub(crate) async fn need_recovery(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    tx.run(&NEED_RECOVERY, params![id]).await.map(drop)
}
