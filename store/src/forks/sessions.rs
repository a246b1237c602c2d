//! The sessions of a machine, copied with their records.

use std::collections::HashMap;

use helmr_domain::moment::IdMaker;
use helmr_domain::timer::{Clock, Purpose};
use helmr_domain::{
    Event, EventKind, Moment, RecordId, RunId, Scope, SessionId, WorkspaceId, fork as domain,
};

use super::Pair;
use crate::db::{Json, Tx, params, sql};
use crate::runs::{self, RunRow};
use crate::sessions::{self as of_sessions, SessionRow};
use crate::{Error, Result, Store, events, timers};

mod records;
mod run;

sql! {
    OPEN = "SELECT id
        FROM sessions
        WHERE environment_id = $1 AND workspace_id = $2 AND status = 'open'
        ORDER BY id";

    /// An external id belongs to the original.
    COPY = "INSERT INTO sessions (
            id, organization_id, project_id, environment_id, task_id, task_row_id, deployment_id,
            workspace_id, workspace_given, status, active_run_id, last_run_id, runs, payload,
            run_options, metadata, tags, expires_at, created_at, last_position, forked_from
        )
        SELECT $2, organization_id, project_id, environment_id, task_id, task_row_id,
            deployment_id, $3, workspace_given, 'open', $4, $4, runs, payload, run_options,
            metadata, tags, expires_at, $5, last_position, id
        FROM sessions
        WHERE id = $1";

    COPY_TAGS = "INSERT INTO session_tags (
            environment_id, tag, session_id, organization_id, project_id
        )
        SELECT environment_id, tag, $2, organization_id, project_id
        FROM session_tags
        WHERE session_id = $1";

    COPY_STREAMS = "INSERT INTO session_streams (
            session_id, organization_id, project_id, environment_id, direction, name,
            last_sequence, lowest_unread, consumed_above
        )
        SELECT $2, organization_id, project_id, environment_id, direction, name, last_sequence,
            lowest_unread, consumed_above
        FROM session_streams
        WHERE session_id = $1";

    COPIED = "SELECT s.forked_from, r.forked_from, s.id, r.id, t.secrets
        FROM sessions s
        JOIN deployment_tasks t ON t.id = s.task_row_id
        LEFT JOIN runs r ON r.session_id = s.id AND r.forked_from IS NOT NULL
        WHERE s.environment_id = $1 AND s.workspace_id = $2 AND s.forked_from IS NOT NULL
        ORDER BY s.id";
}

/// A fork under way.
pub(super) struct Copying {
    pub(super) scope: Scope,
    pub(super) source: WorkspaceId,
    pub(super) target: WorkspaceId,
    pub(super) at: Moment,
    pub(super) ids: IdMaker,
}

/// A session of a fork.
#[derive(Debug, Clone, PartialEq)]
pub struct Copied {
    pub from: Pair,
    pub to: Pair,
    /// Those that its task declares: they may be in the memory that was copied.
    pub secrets: Vec<String>,
}

/// Copies every open session, with the run that it is in, and everything that belongs to both. Gives the runs that were in
/// the machine, and what stands for them.
pub(super) async fn copy_all(tx: &mut Tx, copying: &mut Copying) -> Result<Vec<(RunId, RunId)>> {
    let bound = params![copying.scope.environment, copying.source];
    let mut copied = Vec::new();
    for mut found in tx.rows(&OPEN, bound).await? {
        let original = of_sessions::find(tx, found.take("id")?)
            .await?
            .ok_or(Error::NotFound("session"))?;
        copied.extend(copy(tx, copying, &original).await?);
    }
    Ok(copied)
}

async fn copy(
    tx: &mut Tx,
    copying: &mut Copying,
    original: &SessionRow,
) -> Result<Option<(RunId, RunId)>> {
    let run = active(tx, original).await?;
    let session = &original.session;
    let to = Pair {
        session: copying.ids.make(SessionId::new),
        run: run.is_some().then(|| copying.ids.make(RunId::new)),
    };
    let bound = params![
        session.id,
        to.session,
        copying.target,
        to.run,
        copying.at.now
    ];
    tx.run(&COPY, bound).await?;
    tx.run(&COPY_TAGS, params![session.id, to.session]).await?;
    tx.run(&COPY_STREAMS, params![session.id, to.session])
        .await?;
    let runs = run.as_ref().map(|(run, _)| run.run.id).zip(to.run);
    let records = records::copy(tx, copying, (session.id, to.session), runs).await?;
    if let Some(expires_at) = session.expires_at {
        let purpose = Purpose::SessionExpiry;
        timers::arm_by(tx, Clock::Wall, purpose, &to.session, expires_at).await?;
    }
    let opened = Event::new(EventKind::SessionOpened)
        .with("task_id", session.task_id.as_str())
        .with("forked_from", session.id.to_string());
    let fresh = of_sessions::find(tx, to.session)
        .await?
        .ok_or(Error::NotFound("session"))?;
    events::append(tx, fresh.about(), opened, copying.at).await?;
    match (run, to.run) {
        (Some((run, past)), Some(id)) => {
            let place = run::Place {
                id,
                session: to.session,
                workspace: copying.target,
            };
            run::copy(tx, copying, &run, &place, past, &records).await?;
            let inside = run.run.state.attempt().is_some();
            Ok(inside.then_some((run.run.id, id)))
        }
        _ => Ok(None),
    }
}

/// The run that a session is in, and what its copy tells of its past.
async fn active(
    tx: &mut Tx,
    session: &SessionRow,
) -> Result<Option<(RunRow, &'static [EventKind])>> {
    let Some(id) = session.session.active_run else {
        return Ok(None);
    };
    let Some(run) = runs::find(tx, id).await? else {
        return Ok(None);
    };
    let past = domain::past_of(&run.run.state)?;
    Ok(past.map(|past| (run, past)))
}

/// The records of a session, by the ids that they have in the original.
type Records = HashMap<RecordId, RecordId>;

/// The sessions that a fork began with.
///
/// # Errors
/// If the database fails.
pub async fn copied_sessions(
    store: &Store,
    scope: Scope,
    fork: WorkspaceId,
) -> Result<Vec<Copied>> {
    store
        .read((scope, fork), |tx, input| {
            let (scope, fork) = *input;
            Box::pin(async move {
                let found = tx.rows(&COPIED, params![scope.environment, fork]).await?;
                found
                    .into_iter()
                    .map(|mut row| {
                        let from_session = row.take("forked_from")?;
                        let from_run = row.take("run forked_from")?;
                        let to = Pair {
                            session: row.take("id")?,
                            run: row.take("run id")?,
                        };
                        let Json(secrets) = row.take("secrets")?;
                        Ok(Copied {
                            from: Pair {
                                session: from_session,
                                run: from_run,
                            },
                            to,
                            secrets,
                        })
                    })
                    .collect()
            })
        })
        .await
}
