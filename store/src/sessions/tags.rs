//! Tags of sessions, kept apart so that sessions are found by them.

use helmr_domain::{Scope, SessionId};

use crate::db::{Tx, params, sql};
use crate::{Result, tags};

sql! {
    INSERT = "INSERT INTO session_tags (
            environment_id, tag, session_id, organization_id, project_id
        )
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (environment_id, tag, session_id) DO NOTHING";

    DELETE = "DELETE FROM session_tags
        WHERE session_id = $1";
}

/// Notes the tags of a new session.
pub(super) async fn insert(
    tx: &mut Tx,
    scope: Scope,
    session: SessionId,
    tags: &[String],
) -> Result<()> {
    tags::insert(tx, &INSERT, scope, session, tags).await
}

/// Gives a session other tags.
pub(super) async fn replace(
    tx: &mut Tx,
    scope: Scope,
    session: SessionId,
    tags: &[String],
) -> Result<()> {
    tx.run(&DELETE, params![session]).await?;
    insert(tx, scope, session, tags).await
}
