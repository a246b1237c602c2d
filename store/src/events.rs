//! Events: what happened to a subject, in order, told in the transaction in which it did.

use helmr_domain::{EventKind, Moment, RunId, Scope, SessionId, Timestamp, WorkspaceId};
use serde_json::{Map, Value};

use crate::db::{PIECE_BYTES, Row, Tx, params, sql};
use crate::{Hint, Page, Result, Store, Subject};

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

sql! {
    APPEND = "INSERT INTO events (
            subject_id, sequence, kind, at, organization_id, project_id, environment_id,
            run_id, session_id, workspace_id, attempt, attributes
        )
        SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
        FROM events
        WHERE subject_id = $1";

    LIST = "SELECT sequence, kind, at, run_id, session_id, workspace_id, attempt, attributes
        FROM events
        WHERE subject_id = $1
            AND organization_id = $2 AND project_id = $3 AND environment_id = $4
            AND sequence > $5
        ORDER BY sequence
        LIMIT $6";
}

/// A subject's events after a sequence, ascending: as many as one piece may weigh.
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
    Ok(page(store, scope, subject, after, limit).await?.items)
}

/// As [`list`], with where to go on.
///
/// # Errors
/// If the database fails.
pub async fn page(
    store: &Store,
    scope: Scope,
    subject: Subject,
    after: u64,
    limit: u32,
) -> Result<Page<Event, u64>> {
    store
        .read((scope, subject, after, limit), |tx, input| {
            let (scope, subject, after, limit) = *input;
            Box::pin(async move {
                let bound = params![
                    subject.text(),
                    scope.organization,
                    scope.project,
                    scope.environment,
                    after,
                    u64::from(limit) + 1
                ];
                let found = tx.rows_within(&LIST, bound, PIECE_BYTES).await?;
                let events = found.rows.into_iter().map(read);
                let events = events.collect::<Result<Vec<_>>>()?;
                Ok(Page::cut_within(events, limit, found.cut, |event| {
                    event.sequence
                }))
            })
        })
        .await
}

fn read(mut row: Row) -> Result<Event> {
    Ok(Event {
        sequence: row.take("sequence")?,
        kind: row.parse("kind", |text| text.parse().ok())?,
        at: row.take("at")?,
        run_id: row.take("run_id")?,
        session_id: row.take("session_id")?,
        workspace_id: row.take("workspace_id")?,
        attempt: row.take("attempt")?,
        attributes: match row.take("attributes")? {
            Value::Object(attributes) => attributes,
            _ => return Err(row.corrupt("attributes")),
        },
    })
}

/// To whom an event belongs, and whom it concerns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    pub(crate) subject: Subject,
    pub(crate) scope: Scope,
    pub(crate) run: Option<RunId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) workspace: Option<WorkspaceId>,
    pub(crate) attempt: Option<u32>,
}

/// Tells `event` with the transaction.
pub(crate) async fn append(
    tx: &mut Tx,
    about: About,
    event: helmr_domain::Event,
    at: Moment,
) -> Result<()> {
    tx.run(
        &APPEND,
        params![
            about.subject.text(),
            event.kind.as_str(),
            at.now,
            about.scope.organization,
            about.scope.project,
            about.scope.environment,
            about.run,
            about.session,
            about.workspace,
            about.attempt,
            Value::Object(event.attributes)
        ],
    )
    .await?;
    tx.hint(Hint::Events(about.subject));
    Ok(())
}
