//! The rows of streams and records.

use helmr_domain::stream::{Direction, Positions};
use helmr_domain::{Scope, SessionId, StreamName, TaskRowId};
use serde_json::{Value as JsonValue, json};

use super::Record;
use crate::db::{Row, Rows, Tx, params, sql};
use crate::{Error, Result};

/// What `read` reads, in its order.
macro_rules! columns {
    () => {
        "id, session_id, direction, stream, sequence, position, run_id, data, correlation_id,
            content_type, started_run_id, created_at"
    };
}
pub(super) use columns;

sql! {
    /// Takes the next sequence of a stream, which begins with its first record.
    NEXT_SEQUENCE = "INSERT INTO session_streams (
            session_id, organization_id, project_id, environment_id, direction, name,
            last_sequence, lowest_unread, consumed_above
        )
        VALUES ($1, $2, $3, $4, $5, $6, 1, 1, '[]')
        ON CONFLICT (session_id, direction, name)
            DO UPDATE SET last_sequence = session_streams.last_sequence + 1
        RETURNING last_sequence";

    INSERT = "INSERT INTO stream_records (
            session_id, direction, stream, sequence, id, organization_id, project_id,
            environment_id, run_id, data, correlation_id, content_type, idempotency_key, created_at,
            position, started_run_id
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

    FIND_BY_KEY = concat!("SELECT ", columns!(), "
        FROM stream_records
        WHERE session_id = $1 AND direction = $2 AND stream = $3 AND idempotency_key = $4");

    AFTER = concat!("SELECT ", columns!(), "
        FROM stream_records
        WHERE session_id = $1 AND direction = $2 AND stream = $3 AND sequence > $4
            AND (CAST($5 AS TEXT) IS NULL OR correlation_id = $5)
        ORDER BY sequence
        LIMIT $6");

    POSITIONS = "SELECT lowest_unread, consumed_above, last_sequence
        FROM session_streams
        WHERE session_id = $1 AND direction = 'input' AND name = $2";

    ALL_POSITIONS = "SELECT lowest_unread, consumed_above, last_sequence
        FROM session_streams
        WHERE session_id = $1 AND direction = 'input'";

    SAVE_POSITIONS = "UPDATE session_streams
        SET lowest_unread = $3, consumed_above = $4
        WHERE session_id = $1 AND direction = 'input' AND name = $2";

    DECLARED = "SELECT 1
        FROM task_streams
        WHERE task_row_id = $1 AND direction = $2 AND name = $3";
}

pub(super) fn read(mut row: Row) -> Result<Record> {
    Ok(Record {
        id: row.take("id")?,
        session_id: row.take("session_id")?,
        direction: row.parse("direction", Direction::read)?,
        stream: row.take("stream")?,
        sequence: row.take("sequence")?,
        position: row.take("position")?,
        run_id: row.take("run_id")?,
        data: row.take("data")?,
        correlation_id: row.take("correlation_id")?,
        content_type: row.take("content_type")?,
        started_run: row.take("started_run_id")?,
        created_at: row.take("created_at")?,
    })
}

/// A record as a task sees it.
pub(crate) fn to_value(record: &Record) -> JsonValue {
    let mut value = json!({
        "id": record.id,
        "sequence": record.sequence,
        "data": record.data,
        "content_type": record.content_type,
        "created_at": record.created_at.to_rfc3339(),
    });
    if let (Some(correlation), Some(fields)) = (&record.correlation_id, value.as_object_mut()) {
        fields.insert("correlation_id".to_owned(), correlation.as_str().into());
    }
    value
}

/// Takes the next sequence of a stream, which begins with its first record.
pub(super) async fn next_sequence(
    tx: &mut Tx,
    scope: Scope,
    session: SessionId,
    direction: Direction,
    stream: &StreamName,
) -> Result<u64> {
    let bound = params![
        session,
        scope.organization,
        scope.project,
        scope.environment,
        direction.as_str(),
        stream
    ];
    tx.one(&NEXT_SEQUENCE, bound).await?.take("last_sequence")
}

pub(super) async fn insert(
    tx: &mut Tx,
    scope: Scope,
    record: &Record,
    key: Option<&str>,
) -> Result<()> {
    tx.run(
        &INSERT,
        params![
            record.session_id,
            record.direction.as_str(),
            record.stream,
            record.sequence,
            record.id,
            scope.organization,
            scope.project,
            scope.environment,
            record.run_id,
            record.data,
            record.correlation_id,
            record.content_type,
            key,
            record.created_at,
            record.position,
            record.started_run
        ],
    )
    .await
    .map(drop)
}

pub(super) async fn find_by_key(
    tx: &mut Tx,
    session: SessionId,
    direction: Direction,
    stream: &StreamName,
    key: &str,
) -> Result<Option<Record>> {
    let bound = params![session, direction.as_str(), stream, key];
    tx.find(&FIND_BY_KEY, bound).await?.map(read).transpose()
}

/// Which records to read.
#[derive(Clone, Copy)]
pub(super) struct After<'a> {
    pub(super) session: SessionId,
    pub(super) direction: Direction,
    pub(super) stream: &'a StreamName,
    pub(super) correlation: Option<&'a str>,
    pub(super) sequence: u64,
    pub(super) limit: u64,
}

/// Records, and whether more of them would have weighed too much.
pub(super) struct Piece {
    pub(super) records: Vec<Record>,
    pub(super) cut: bool,
    /// Of the weight that was allowed.
    pub(super) left_bytes: usize,
}

impl Piece {
    pub(super) fn of(found: Rows) -> Result<Self> {
        Ok(Self {
            records: found.rows.into_iter().map(read).collect::<Result<_>>()?,
            cut: found.cut,
            left_bytes: found.left_bytes,
        })
    }
}

/// Reads records up to a weight, at least one.
pub(super) async fn after(tx: &mut Tx, which: After<'_>, most_bytes: usize) -> Result<Piece> {
    let bound = params![
        which.session,
        which.direction.as_str(),
        which.stream,
        which.sequence,
        which.correlation,
        which.limit
    ];
    Piece::of(tx.rows_within(&AFTER, bound, most_bytes).await?)
}

/// What a session has read of an input stream, and its last sequence.
fn read_positions(mut row: Row) -> Result<(Positions, u64)> {
    let positions = Positions::from_stored(row.take("lowest_unread")?, row.take("consumed_above")?);
    Ok((positions, row.take("last_sequence")?))
}

pub(super) async fn positions(
    tx: &mut Tx,
    session: SessionId,
    stream: &StreamName,
) -> Result<(Positions, u64)> {
    let found = tx.find(&POSITIONS, params![session, stream]).await?;
    found.map_or_else(|| Ok((Positions::default(), 0)), read_positions)
}

pub(super) async fn all_positions(
    tx: &mut Tx,
    session: SessionId,
) -> Result<Vec<(Positions, u64)>> {
    let found = tx.rows(&ALL_POSITIONS, params![session]).await?;
    found.into_iter().map(read_positions).collect()
}

pub(super) async fn save_positions(
    tx: &mut Tx,
    session: SessionId,
    stream: &StreamName,
    positions: &Positions,
) -> Result<()> {
    let bound = params![
        session,
        stream,
        positions.lowest_unread(),
        *positions.consumed_above()
    ];
    match tx.run(&SAVE_POSITIONS, bound).await? {
        0 => Err(Error::NotFound("stream")),
        _ => Ok(()),
    }
}

pub(crate) async fn is_declared(
    tx: &mut Tx,
    task: TaskRowId,
    direction: Direction,
    stream: &StreamName,
) -> Result<bool> {
    let bound = params![task, direction.as_str(), stream];
    Ok(tx.find(&DECLARED, bound).await?.is_some())
}
