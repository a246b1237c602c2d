//! A machine that is asked for by itself, so that there is one when something is to be done in it.
//!
//! Nobody waits here: placement gives the workspace a machine, or wakes the one that is parked, once, however many asked.

use helmr_domain::machine::State;
use helmr_domain::{Duration, Moment, Scope, Timestamp, WorkspaceId, limits};

use super::attach::{check_usable, touch};
use super::{Workspace, row};
use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store, machine, outbox};

/// What becomes of the wish for a machine that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It holds as long as it was to stay.
    Again,
    NoMore,
}

sql! {
    ASK = "UPDATE workspaces
        SET materialized_at = $2,
            machine_wanted_at = CASE WHEN CAST($3 AS BIGINT) = 1 THEN machine_wanted_at
                ELSE COALESCE(machine_wanted_at, $2) END
        WHERE id = $1";

    ASK_AGAIN = "UPDATE workspaces
        SET machine_wanted_at = COALESCE(machine_wanted_at, $2)
        WHERE id = $1 AND materialized_at IS NOT NULL
            AND materialized_at + COALESCE(auto_stop_after_us, $3) > $2";

    HAS_ONE = "UPDATE workspaces
        SET machine_wanted_at = NULL
        WHERE id = $1 AND machine_wanted_at IS NOT NULL";

    WANT_NONE = "UPDATE workspaces
        SET machine_wanted_at = NULL, materialized_at = NULL
        WHERE id = $1 AND materialized_at IS NOT NULL";

    FIND_WANTED = "SELECT 1
        FROM workspaces
        WHERE id = $1 AND machine_wanted_at IS NOT NULL";

    FIND_ASKED = "SELECT materialized_at, auto_stop_after_us
        FROM workspaces
        WHERE id = $1";
}

/// Asks for a workspace's machine, and for it to stay as if something had just run in it. Asking again only moves that.
///
/// # Errors
/// `NotFound`; `Refused(WorkspaceNotActive)`.
pub async fn materialize(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    at: Moment,
) -> Result<Workspace> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                check_usable(tx, scope, id).await?;
                touch(tx, id, at).await?;
                let machine = machine::current(tx, id).await?;
                let live =
                    machine.is_some_and(|machine| machine.state == State::Live && !machine.ending);
                tx.run(&ASK, params![id, at.now, live]).await?;
                outbox::mark(tx, id, at).await?;
                tx.hint(Hint::Workspace(id));
                row::get(tx, scope, id).await
            })
        })
        .await
}

/// Whether a machine is asked for by itself.
pub(crate) async fn wants_machine(tx: &mut Tx, id: WorkspaceId) -> Result<bool> {
    Ok(tx.find(&FIND_WANTED, params![id]).await?.is_some())
}

/// Until when a live machine stays because it was asked for.
pub(crate) async fn kept_until(tx: &mut Tx, id: WorkspaceId) -> Result<Option<Timestamp>> {
    let mut row = tx.one(&FIND_ASKED, params![id]).await?;
    let asked: Option<Timestamp> = row.take("materialized_at")?;
    let stays: Option<Duration> = row.take("auto_stop_after_us")?;
    Ok(asked.map(|asked| asked.after(stays.unwrap_or(limits::AUTO_STOP_AFTER))))
}

/// There is the machine that was asked for.
pub(crate) async fn machine_is_live(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    tx.run(&HAS_ONE, params![id]).await?;
    tx.hint(Hint::Workspace(id));
    Ok(())
}

/// The machine is over, or set aside.
pub(crate) async fn machine_ended(
    tx: &mut Tx,
    id: WorkspaceId,
    asked: Asked,
    at: Moment,
) -> Result<()> {
    match asked {
        Asked::Again => {
            let bound = params![id, at.now, limits::AUTO_STOP_AFTER];
            tx.run(&ASK_AGAIN, bound).await?;
        }
        Asked::NoMore => {
            tx.run(&WANT_NONE, params![id]).await?;
        }
    }
    tx.hint(Hint::Workspace(id));
    Ok(())
}

/// Nobody asks any more.
pub(super) async fn want_no_machine(tx: &mut Tx, id: WorkspaceId) -> Result<()> {
    tx.run(&WANT_NONE, params![id]).await.map(drop)
}
