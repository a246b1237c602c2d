//! Records and streams, looked up.

use helmr_domain::stream::{Direction, Positions};
use helmr_domain::{Scope, SessionId, StreamName};

use super::row::{self, After, direction};
use super::{ListRecords, Peek, Record, SessionStream, position};
use crate::db::{Row, Tx, params, sql};
use crate::sessions::{self, SessionRow};
use crate::{Error, Page, Result, Store};

sql! {
    /// What a session's deployment declares, with what the session has of it.
    LIST = "SELECT d.direction, d.name, d.schema, s.last_sequence, s.lowest_unread,
            s.consumed_above
        FROM deployment_streams d
        LEFT JOIN session_streams s
            ON s.session_id = $2 AND s.direction = d.direction AND s.name = d.name
        WHERE d.deployment_id = $1
        ORDER BY d.direction, d.name";
}

async fn session(tx: &mut Tx, scope: Scope, id: SessionId) -> Result<SessionRow> {
    sessions::find(tx, id)
        .await?
        .filter(|found| found.session.scope == scope)
        .ok_or(Error::NotFound("session"))
}

/// Lists records, ascending.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn list_records(
    store: &Store,
    scope: Scope,
    input: ListRecords,
) -> Result<Page<Record, u64>> {
    store
        .read((scope, input), |tx, (scope, input)| {
            Box::pin(async move {
                session(tx, *scope, input.session).await?;
                let which = After {
                    session: input.session,
                    direction: input.direction,
                    stream: &input.stream,
                    correlation: input.correlation_id.as_deref(),
                    sequence: input.after,
                    limit: u64::from(input.limit) + 1,
                };
                let found = row::after(tx, which).await?;
                Ok(Page::cut(found, input.limit, |record| record.sequence))
            })
        })
        .await
}

/// Reads unread input without consuming it, ascending.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn peek(store: &Store, scope: Scope, input: Peek) -> Result<Vec<Record>> {
    store
        .read((scope, input), |tx, (scope, input)| {
            Box::pin(async move {
                session(tx, *scope, input.session).await?;
                let limit = usize::try_from(input.limit).unwrap_or(usize::MAX);
                let correlation = input.correlation_id.as_deref();
                position::unread(tx, input.session, &input.stream, correlation, limit, &[]).await
            })
        })
        .await
}

/// Lists the streams that a session's deployment declares.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn list(store: &Store, scope: Scope, id: SessionId) -> Result<Vec<SessionStream>> {
    store
        .read((scope, id), |tx, input| {
            let (scope, id) = *input;
            Box::pin(async move {
                let found = session(tx, scope, id).await?;
                let bound = params![found.session.deployment_id, id];
                let rows = tx.rows(&LIST, bound).await?;
                rows.into_iter().map(read).collect()
            })
        })
        .await
}

fn read(mut row: Row) -> Result<SessionStream> {
    let direction = row.parse("direction", direction)?;
    let name = row.take("name")?;
    let schema = row.take("schema")?;
    let last_sequence: Option<u64> = row.take("last_sequence")?;
    let lowest_unread: Option<u64> = row.take("lowest_unread")?;
    let consumed_above: Option<_> = row.take("consumed_above")?;
    let last_sequence = last_sequence.unwrap_or(0);
    let positions = Positions::from_stored(
        lowest_unread.unwrap_or(1),
        consumed_above.unwrap_or_default(),
    );
    Ok(SessionStream {
        direction,
        name,
        schema,
        last_sequence,
        unread: match direction {
            Direction::Input => positions.unread(last_sequence),
            Direction::Output => 0,
        },
    })
}

/// One declared stream of a session.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn find(
    store: &Store,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    name: &StreamName,
) -> Result<Option<SessionStream>> {
    let all = list(store, scope, session).await?;
    Ok(all
        .into_iter()
        .find(|stream| stream.direction == direction && stream.name == *name))
}
