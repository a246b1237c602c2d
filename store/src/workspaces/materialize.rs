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
    STAYS = "SELECT auto_stop_after_us
        FROM workspaces
        WHERE id = $1";

    ASK = "UPDATE workspaces
        SET machine_kept_until = CASE WHEN machine_kept_until > $4 THEN machine_kept_until ELSE $4 END,
            machine_wanted_at = CASE WHEN CAST($3 AS BIGINT) = 1 THEN machine_wanted_at
                ELSE COALESCE(machine_wanted_at, $2) END
        WHERE id = $1";

    ASK_AGAIN = "UPDATE workspaces
        SET machine_wanted_at = COALESCE(machine_wanted_at, $2)
        WHERE id = $1 AND machine_kept_until > $2";

    HAS_ONE = "UPDATE workspaces
        SET machine_wanted_at = NULL
        WHERE id = $1 AND machine_wanted_at IS NOT NULL";

    WANT_NONE = "UPDATE workspaces
        SET machine_wanted_at = NULL, machine_kept_until = NULL
        WHERE id = $1 AND machine_kept_until IS NOT NULL";

    FIND_WANTED = "SELECT 1
        FROM workspaces
        WHERE id = $1 AND machine_wanted_at IS NOT NULL";

    FIND_KEPT = "SELECT machine_kept_until
        FROM workspaces
        WHERE id = $1";
}

/// A machine that is woken for a change of its files stays for it so long.
const STAYS_FOR_A_CHANGE: Duration = Duration::from_secs(10);

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
                let stays: Option<Duration> = tx
                    .one(&STAYS, params![id])
                    .await?
                    .take("auto_stop_after_us")?;
                ask(tx, id, stays.unwrap_or(limits::AUTO_STOP_AFTER), at).await?;
                row::get(tx, scope, id).await
            })
        })
        .await
}

/// Asks for a workspace's machine for a change of files that needs it, and for no longer.
///
/// # Errors
/// As [`materialize`].
pub async fn wake_for_change(
    store: &Store,
    scope: Scope,
    id: WorkspaceId,
    at: Moment,
) -> Result<()> {
    store
        .write((scope, id, at), |tx, input| {
            let (scope, id, at) = *input;
            Box::pin(async move {
                check_usable(tx, scope, id).await?;
                ask(tx, id, STAYS_FOR_A_CHANGE, at).await
            })
        })
        .await
}

async fn ask(tx: &mut Tx, id: WorkspaceId, stays: Duration, at: Moment) -> Result<()> {
    touch(tx, id, at).await?;
    let machine = machine::current(tx, id).await?;
    let live = machine.is_some_and(|machine| machine.state == State::Live && !machine.ending);
    tx.run(&ASK, params![id, at.now, live, at.now.after(stays)])
        .await?;
    outbox::mark(tx, id, at).await?;
    tx.hint(Hint::Workspace(id));
    Ok(())
}

/// Whether a machine is asked for by itself.
pub(crate) async fn wants_machine(tx: &mut Tx, id: WorkspaceId) -> Result<bool> {
    Ok(tx.find(&FIND_WANTED, params![id]).await?.is_some())
}

/// Until when a live machine stays because it was asked for.
pub(crate) async fn kept_until(tx: &mut Tx, id: WorkspaceId) -> Result<Option<Timestamp>> {
    tx.one(&FIND_KEPT, params![id])
        .await?
        .take("machine_kept_until")
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
            tx.run(&ASK_AGAIN, params![id, at.now]).await?;
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
