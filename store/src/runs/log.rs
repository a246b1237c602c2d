//! What runs print: sealed pieces by offset, up to a limit.

use helmr_domain::{Event, EventKind, Refusal, RunId, Scope, limits};

use super::{AppendLog, Log, LogStream, Segment, row, transition};
use crate::db::{Row, Tx, params, sql};
use crate::{Error, Hint, Result, Store, events};

sql! {
    POSITION = "SELECT base_offset, received_bytes, cut_offset
        FROM log_positions
        WHERE run_id = $1 AND stream = $2 AND attempt = $3";

    LAST_POSITION = "SELECT base_offset, received_bytes, cut_offset
        FROM log_positions
        WHERE run_id = $1 AND stream = $2
        ORDER BY attempt DESC
        LIMIT 1";

    SAVE_POSITION = "INSERT INTO log_positions (
            run_id, stream, attempt, base_offset, received_bytes, cut_offset
        )
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (run_id, stream, attempt) DO UPDATE
            SET received_bytes = excluded.received_bytes, cut_offset = excluded.cut_offset";

    INSERT_SEGMENT = "INSERT INTO log_segments (
            run_id, stream, start_offset, size_bytes, attempt, sealed, created_at
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7)";

    SEGMENTS = "SELECT start_offset, size_bytes, attempt, sealed, created_at
        FROM log_segments
        WHERE run_id = $1 AND stream = $2 AND start_offset + size_bytes > $3
            AND start_offset >= COALESCE((
                SELECT MAX(start_offset)
                FROM log_segments
                WHERE run_id = $1 AND stream = $2 AND start_offset <= $3
            ), 0)
        ORDER BY start_offset
        LIMIT $4";
}

/// How far a stream of output has come.
#[derive(Debug, Clone, Copy, Default)]
struct Position {
    /// Where the attempt's output begins in the run's.
    base: u64,
    received: u64,
    cut: Option<u64>,
}

impl Position {
    const fn end(self) -> u64 {
        self.base + self.received
    }
}

fn read_position(mut row: Row) -> Result<Position> {
    Ok(Position {
        base: row.take("base_offset")?,
        received: row.take("received_bytes")?,
        cut: row.take("cut_offset")?,
    })
}

async fn find(tx: &mut Tx, id: RunId, attempt: u32, stream: LogStream) -> Result<Option<Position>> {
    let bound = params![id, stream.as_str(), attempt];
    let found = tx.find(&POSITION, bound).await?;
    found.map(read_position).transpose()
}

async fn find_last(tx: &mut Tx, id: RunId, stream: LogStream) -> Result<Option<Position>> {
    let found = tx
        .find(&LAST_POSITION, params![id, stream.as_str()])
        .await?;
    found.map(read_position).transpose()
}

/// Keeps a piece of output. One that was received before changes nothing; beyond 64 MiB of a stream the run goes on
/// and what it prints is counted, not kept.
///
/// # Errors
/// `Stale`; `Refused(LogOutOfStep)` with the offset that is expected.
pub async fn append_log(store: &Store, input: AppendLog) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(append_in(tx, input)))
        .await
}

async fn append_in(tx: &mut Tx, input: &AppendLog) -> Result<()> {
    let fence = input.fence;
    let run = transition::told_of(tx, fence).await?;
    let mut position = match find(tx, fence.run_id, fence.attempt, input.stream).await? {
        Some(position) => position,
        None => {
            let last = find_last(tx, fence.run_id, input.stream).await?;
            let last = last.unwrap_or_default();
            Position {
                base: last.end(),
                received: 0,
                cut: last.cut,
            }
        }
    };
    if input.offset + input.size_bytes <= position.received {
        return Ok(());
    }
    if input.offset != position.received {
        let expected = position.received;
        return Err(Refusal::LogOutOfStep { expected }.into());
    }
    let start = position.end();
    let first_cut = position.cut.is_none() && start >= limits::LOG_KEPT_BYTES;
    if first_cut {
        position.cut = Some(start);
    }
    position.received += input.size_bytes;
    let bound = params![
        fence.run_id,
        input.stream.as_str(),
        fence.attempt,
        position.base,
        position.received,
        position.cut
    ];
    tx.run(&SAVE_POSITION, bound).await?;
    let mut about = run.about();
    about.attempt = Some(fence.attempt);
    let event = Event::new(EventKind::Log).with("stream", input.stream.as_str());
    if first_cut {
        let event = event.with("cut_at", start);
        events::append(tx, about, event, input.at).await?;
    }
    if position.cut.is_some() {
        return Ok(());
    }
    let bound = params![
        fence.run_id,
        input.stream.as_str(),
        start,
        input.size_bytes,
        fence.attempt,
        input.sealed,
        input.at.now
    ];
    tx.run(&INSERT_SEGMENT, bound).await?;
    let event = Event::new(EventKind::Log)
        .with("stream", input.stream.as_str())
        .with("start", start)
        .with("end", position.end());
    events::append(tx, about, event, input.at).await?;
    tx.hint(Hint::Log(fence.run_id));
    Ok(())
}

/// How much of an attempt's output was received.
///
/// # Errors
/// If the database fails.
pub async fn log_position(
    store: &Store,
    id: RunId,
    attempt: u32,
    stream: LogStream,
) -> Result<u64> {
    store
        .read((id, attempt, stream), |tx, input| {
            let (id, attempt, stream) = *input;
            Box::pin(async move {
                let found = find(tx, id, attempt, stream).await?;
                Ok(found.map_or(0, |position| position.received))
            })
        })
        .await
}

/// Reads a run's output from an offset on.
///
/// # Errors
/// `NotFound`.
pub async fn read_log(
    store: &Store,
    scope: Scope,
    id: RunId,
    stream: LogStream,
    offset: u64,
    limit: u32,
) -> Result<Log> {
    store
        .read((scope, id, stream, offset, limit), |tx, input| {
            let (scope, id, stream, offset, limit) = *input;
            Box::pin(async move {
                row::find(tx, id)
                    .await?
                    .filter(|found| found.run.scope == scope)
                    .ok_or(Error::NotFound("run"))?;
                let position = find_last(tx, id, stream).await?.unwrap_or_default();
                let bound = params![id, stream.as_str(), offset, limit];
                let found = tx.rows(&SEGMENTS, bound).await?;
                Ok(Log {
                    segments: found
                        .into_iter()
                        .map(read_segment)
                        .collect::<Result<Vec<_>>>()?,
                    received_bytes: position.end(),
                    cut_at: position.cut,
                })
            })
        })
        .await
}

fn read_segment(mut row: Row) -> Result<Segment> {
    Ok(Segment {
        offset: row.take("start_offset")?,
        size_bytes: row.take("size_bytes")?,
        attempt: row.take("attempt")?,
        sealed: row.take("sealed")?,
        created_at: row.take("created_at")?,
    })
}
