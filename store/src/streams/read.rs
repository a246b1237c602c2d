//! Records and streams, looked up.

use helmr_domain::stream::{Direction, Positions};
use helmr_domain::{Scope, SessionId, StreamName};

use super::row::{self, After};
use super::{ListRecords, Peek, Record, SessionStream, position};
use crate::db::{PIECE_BYTES, Row, Tx, params, sql};
use crate::sessions::{self, SessionRow};
use crate::{Error, Page, Result, Store};

sql! {
    /// What a session's task declares, with what the session has of it.
    LIST = "SELECT d.direction, d.name, s.last_sequence, r.created_at, s.lowest_unread,
            s.consumed_above
        FROM task_streams d
        LEFT JOIN session_streams s
            ON s.session_id = $2 AND s.direction = d.direction AND s.name = d.name
        LEFT JOIN stream_records r
            ON r.session_id = s.session_id AND r.direction = s.direction AND r.stream = s.name
                AND r.sequence = s.last_sequence
        WHERE d.task_row_id = $1 AND (d.direction, d.name) > ($3, $4)
        ORDER BY d.direction, d.name
        LIMIT $5";
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
                let piece = row::after(tx, which, PIECE_BYTES).await?;
                Ok(Page::cut_within(
                    piece.records,
                    input.limit,
                    piece.cut,
                    |record| record.sequence,
                ))
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

/// Where a stream stands among those of its session.
pub type StreamPlace = (Direction, StreamName);

/// Lists the streams that a session's task declares, by direction and name.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn list(
    store: &Store,
    scope: Scope,
    id: SessionId,
    after: Option<StreamPlace>,
    limit: u32,
) -> Result<Page<SessionStream, StreamPlace>> {
    store
        .read((scope, id, after, limit), |tx, input| {
            Box::pin(async move {
                let (scope, id, after, limit) = input;
                let found = session(tx, *scope, *id).await?;
                let (direction, name) = match after {
                    Some((direction, name)) => (direction.as_str(), name.as_str()),
                    None => ("", ""),
                };
                let bound = params![
                    found.session.task_row_id,
                    id,
                    direction,
                    name,
                    u64::from(*limit) + 1
                ];
                let rows = tx.rows(&LIST, bound).await?;
                let found = rows.into_iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(Page::cut(found, *limit, |stream| {
                    (stream.direction, stream.name.clone())
                }))
            })
        })
        .await
}

fn read(mut row: Row) -> Result<SessionStream> {
    let direction = row.parse("direction", Direction::read)?;
    let name = row.take("name")?;
    let last_sequence: Option<u64> = row.take("last_sequence")?;
    let last_record_at = row.take("created_at")?;
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
        last_sequence,
        last_record_at,
        unread: match direction {
            Direction::Input => positions.unread(last_sequence),
            Direction::Output => 0,
        },
    })
}
