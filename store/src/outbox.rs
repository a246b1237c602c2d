//! The outbox: effects that were committed and still have to be told. The relay looks at the subject again.

use helmr_domain::{Moment, WorkspaceId};

use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store};

/// An assignment to push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    pub workspace_id: WorkspaceId,
    /// The assignment's revision when it was marked last.
    pub mark: u64,
}

sql! {
    PENDING = "SELECT subject_id, mark
        FROM outbox
        WHERE topic = 'assignment'
        ORDER BY marked_at
        LIMIT $1";

    DONE = "DELETE FROM outbox
        WHERE topic = 'assignment' AND subject_id = $1 AND mark = $2";

    RAISE_REVISION = "UPDATE workspaces
        SET revision = revision + 1
        WHERE id = $1
        RETURNING revision, lease_state";

    MARK = "INSERT INTO outbox (topic, subject_id, mark, marked_at)
        VALUES ('assignment', $1, $2, $3)
        ON CONFLICT (topic, subject_id) DO UPDATE SET mark = excluded.mark";
}

/// Workspaces whose assignment changed, longest ago first.
///
/// # Errors
/// If the database fails.
pub async fn pending(store: &Store, limit: u32) -> Result<Vec<Dirty>> {
    store
        .read(limit, |tx, limit| {
            Box::pin(async move {
                let found = tx.rows(&PENDING, params![*limit]).await?;
                found
                    .into_iter()
                    .map(|mut row| {
                        Ok(Dirty {
                            workspace_id: row.take("subject_id")?,
                            mark: row.take("mark")?,
                        })
                    })
                    .collect()
            })
        })
        .await
}

/// Takes what was pushed out of the outbox, unless it changed again meanwhile.
///
/// # Errors
/// If the database fails.
pub async fn done(store: &Store, told: Vec<Dirty>) -> Result<()> {
    store
        .write(told, |tx, told| {
            Box::pin(async move {
                for dirty in told {
                    tx.run(&DONE, params![dirty.workspace_id, dirty.mark])
                        .await?;
                }
                Ok(())
            })
        })
        .await
}

/// Marks a workspace's assignment as another one. If nobody holds its lease there is nobody to tell, and what changed
/// may ask for a machine instead.
pub(crate) async fn mark(tx: &mut Tx, workspace: WorkspaceId, at: Moment) -> Result<()> {
    let mut row = tx.one(&RAISE_REVISION, params![workspace]).await?;
    let revision: u64 = row.take("revision")?;
    let state: String = row.take("lease_state")?;
    if state == "held" {
        tx.run(&MARK, params![workspace, revision, at.now]).await?;
        tx.hint(Hint::Assignment(workspace));
    } else {
        tx.hint(Hint::Queue);
    }
    Ok(())
}
