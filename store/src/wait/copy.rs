//! A wait of a run that is copied.

use helmr_domain::wait::State;
use helmr_domain::{Moment, RecordId, RunId, SessionId, WaitId, WorkspaceId};

use super::row::{self, WaitRow};
use super::{arm, tell_created};
use crate::db::{Tx, params, sql};
use crate::{Error, Result};

sql! {
    COPY = "INSERT INTO waits (
            id, organization_id, project_id, environment_id, run_id, session_id, workspace_id,
            attempt, call_no, blocking, hot_window_us, created_at, holds, holds_on, idle_at, kind,
            token_id, stream, correlation_id, due_at, absolute, timeout_at, state, outcome,
            decided_at, record_id, record_sequence, ended_at
        )
        SELECT $2, organization_id, project_id, environment_id, $3, $4, $5, attempt, call_no,
            blocking, hot_window_us, created_at, holds, holds_on, idle_at, kind, token_id, stream,
            correlation_id, due_at, absolute, timeout_at, state, outcome, decided_at, $6,
            CASE WHEN CAST($6 AS TEXT) IS NULL THEN NULL ELSE record_sequence END, ended_at
        FROM waits
        WHERE id = $1";
}

/// Where a copy belongs.
pub(crate) struct CopyOfWait {
    pub(crate) id: WaitId,
    pub(crate) run: RunId,
    pub(crate) session: SessionId,
    pub(crate) workspace: WorkspaceId,
    /// The copy of the record that its outcome carries.
    pub(crate) record: Option<RecordId>,
}

impl WaitRow {
    /// The record that its outcome carries.
    pub(crate) fn record(&self) -> Option<RecordId> {
        match &self.wait.state {
            State::Resuming(decided) | State::Resolved(decided) | State::TimedOut(decided) => {
                decided.record.map(|record| record.id)
            }
            State::Hot | State::Parked | State::Cancelled { .. } | State::Failed { .. } => None,
        }
    }
}

/// Writes a wait as it stands, due when it was due.
pub(crate) async fn copy(
    tx: &mut Tx,
    original: &WaitRow,
    copy: CopyOfWait,
    at: Moment,
) -> Result<WaitRow> {
    let bound = params![
        original.id,
        copy.id,
        copy.run,
        copy.session,
        copy.workspace,
        copy.record
    ];
    tx.run(&COPY, bound).await?;
    let written = row::find(tx, copy.id)
        .await?
        .ok_or(Error::NotFound("wait"))?;
    match &written.wait.state {
        State::Hot | State::Parked => {
            tell_created(tx, &written, at).await?;
            arm(tx, &written).await?;
        }
        State::Resuming(_) => tell_created(tx, &written, at).await?,
        State::Resolved(_)
        | State::TimedOut(_)
        | State::Cancelled { .. }
        | State::Failed { .. } => {}
    }
    Ok(written)
}
