//! What runs print: sealed pieces by offset, within the run's budget.
//!
//! A piece that is kept ends between characters: the beginning of one that is still to come is held back beside the
//! position, sealed as well, and goes into the next piece, or stands alone when the attempt ends.

use helmr_domain::{Event, EventKind, Moment, Refusal, RunId, Scope, limits};

use super::{AppendLog, Log, LogPosition, LogStream, Sealed, Segment, row, transition};
use crate::db::{Row, Tx, params, sql};
use crate::events::About;
use crate::{Error, Hint, Result, Store, events};

sql! {
    POSITION = "SELECT base_offset, received_bytes, cut_offset, tail, tail_bytes
        FROM log_positions
        WHERE run_id = $1 AND stream = $2 AND attempt = $3";

    LAST_POSITION = "SELECT base_offset, received_bytes, cut_offset, tail, tail_bytes
        FROM log_positions
        WHERE run_id = $1 AND stream = $2
        ORDER BY attempt DESC
        LIMIT 1";

    SAVE_POSITION = "INSERT INTO log_positions (
            run_id, stream, attempt, base_offset, received_bytes, cut_offset, tail, tail_bytes
        )
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (run_id, stream, attempt) DO UPDATE
            SET received_bytes = excluded.received_bytes, cut_offset = excluded.cut_offset,
                tail = excluded.tail, tail_bytes = excluded.tail_bytes";

    HELD_BACK = "SELECT stream, attempt, base_offset, received_bytes, cut_offset, tail, tail_bytes
        FROM log_positions
        WHERE run_id = $1 AND tail IS NOT NULL
        ORDER BY stream";

    KEPT = "SELECT log_bytes
        FROM runs
        WHERE id = $1";

    SET_KEPT = "UPDATE runs
        SET log_bytes = $2
        WHERE id = $1";

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
#[derive(Debug, Clone, Default)]
struct Position {
    /// Where the attempt's output begins in the run's.
    base: u64,
    received: u64,
    cut: Option<u64>,
    tail: Option<Sealed>,
}

impl Position {
    const fn end(&self) -> u64 {
        self.base + self.received
    }

    fn held_back(&self) -> u64 {
        self.tail.as_ref().map_or(0, |tail| tail.size_bytes)
    }

    /// Where what is kept next begins in the run's output.
    fn start(&self) -> u64 {
        self.end().saturating_sub(self.held_back())
    }
}

fn read_position(row: &mut Row) -> Result<Position> {
    let base = row.take("base_offset")?;
    let received = row.take("received_bytes")?;
    let cut = row.take("cut_offset")?;
    let tail: Option<Vec<u8>> = row.take("tail")?;
    let size_bytes = row.take("tail_bytes")?;
    Ok(Position {
        base,
        received,
        cut,
        tail: tail.map(|sealed| Sealed { size_bytes, sealed }),
    })
}

async fn find(tx: &mut Tx, id: RunId, attempt: u32, stream: LogStream) -> Result<Option<Position>> {
    let bound = params![id, stream.as_str(), attempt];
    let found = tx.find(&POSITION, bound).await?;
    found.map(|mut row| read_position(&mut row)).transpose()
}

async fn find_last(tx: &mut Tx, id: RunId, stream: LogStream) -> Result<Option<Position>> {
    let found = tx
        .find(&LAST_POSITION, params![id, stream.as_str()])
        .await?;
    found.map(|mut row| read_position(&mut row)).transpose()
}

async fn save(
    tx: &mut Tx,
    id: RunId,
    stream: LogStream,
    attempt: u32,
    position: &Position,
) -> Result<()> {
    let bound = params![
        id,
        stream.as_str(),
        attempt,
        position.base,
        position.received,
        position.cut,
        position.tail.as_ref().map(|tail| tail.sealed.clone()),
        position.held_back()
    ];
    tx.run(&SAVE_POSITION, bound).await.map(drop)
}

/// Bytes that a run may still keep, of output and of entries.
pub(super) async fn left(tx: &mut Tx, id: RunId) -> Result<u64> {
    let kept: u64 = tx.one(&KEPT, params![id]).await?.take("log_bytes")?;
    Ok(limits::LOG_KEPT_BYTES.saturating_sub(kept))
}

pub(super) async fn set_left(tx: &mut Tx, id: RunId, left: u64) -> Result<()> {
    let kept = limits::LOG_KEPT_BYTES.saturating_sub(left);
    tx.run(&SET_KEPT, params![id, kept]).await.map(drop)
}

/// Keeps a piece of output. One that was received before changes nothing. A piece of which less is kept than was
/// received is the last one of its stream: the run goes on, and what it prints is counted, not kept.
///
/// # Errors
/// `Stale`; `Refused`: `LogOutOfStep` with the offset that is expected, `LogOverBudget` with what may be kept.
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
                tail: None,
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
    let mut about = run.about();
    about.attempt = Some(fence.attempt);
    let start = position.start();
    let there = position.held_back() + input.size_bytes;
    position.received += input.size_bytes;
    position.tail = None;
    if position.cut.is_none() {
        let left = left(tx, fence.run_id).await?;
        let kept = input.kept.as_ref().map_or(0, |kept| kept.size_bytes);
        let tail = input.tail.as_ref().map_or(0, |tail| tail.size_bytes);
        if kept + tail > left {
            return Err(Refusal::LogOverBudget { left }.into());
        }
        let piece = Piece {
            run: fence.run_id,
            attempt: fence.attempt,
            stream: input.stream,
            start,
        };
        if let Some(kept) = &input.kept {
            piece.keep(tx, about, kept, input.at).await?;
        }
        let is_cut = kept + tail < there;
        if is_cut {
            position.cut = Some(start + kept);
            tell_cut(tx, about, input.stream, start + kept, input.at).await?;
        } else {
            position.tail.clone_from(&input.tail);
        }
        // What is left after a cut is less than a character, and nobody's.
        let left = if is_cut { 0 } else { left - kept };
        set_left(tx, fence.run_id, left).await?;
    }
    save(tx, fence.run_id, input.stream, fence.attempt, &position).await?;
    if run.run.state.attempt() != Some(fence.attempt) {
        // It came after its attempt's end, when nothing more is waited for.
        flush(tx, run.about(), fence.run_id, input.at).await?;
    }
    Ok(())
}

async fn tell_cut(
    tx: &mut Tx,
    about: About,
    stream: LogStream,
    cut_at: u64,
    at: Moment,
) -> Result<()> {
    let event = Event::new(EventKind::Log)
        .with("stream", stream.as_str())
        .with("cut_at", cut_at);
    events::append(tx, about, event, at).await
}

/// Where something that is kept belongs.
struct Piece {
    run: RunId,
    attempt: u32,
    stream: LogStream,
    start: u64,
}

impl Piece {
    async fn keep(&self, tx: &mut Tx, about: About, kept: &Sealed, at: Moment) -> Result<()> {
        let bound = params![
            self.run,
            self.stream.as_str(),
            self.start,
            kept.size_bytes,
            self.attempt,
            kept.sealed,
            at.now
        ];
        tx.run(&INSERT_SEGMENT, bound).await?;
        let event = Event::new(EventKind::Log)
            .with("stream", self.stream.as_str())
            .with("start", self.start)
            .with("end", self.start + kept.size_bytes);
        events::append(tx, about, event, at).await?;
        tx.hint(Hint::Log(self.run));
        Ok(())
    }
}

/// Keeps what was held back of a run's output: the rest of the character will not come.
pub(super) async fn flush(tx: &mut Tx, mut about: About, id: RunId, at: Moment) -> Result<()> {
    for mut found in tx.rows(&HELD_BACK, params![id]).await? {
        let stream = found.parse("stream", LogStream::read)?;
        let attempt = found.take("attempt")?;
        let mut position = read_position(&mut found)?;
        let start = position.start();
        let Some(tail) = position.tail.take() else {
            continue;
        };
        about.attempt = Some(attempt);
        let left = left(tx, id).await?;
        match left.checked_sub(tail.size_bytes) {
            Some(left) => {
                let piece = Piece {
                    run: id,
                    attempt,
                    stream,
                    start,
                };
                piece.keep(tx, about, &tail, at).await?;
                set_left(tx, id, left).await?;
            }
            // The run's other output has taken its place meanwhile.
            None => {
                position.cut = Some(start);
                tell_cut(tx, about, stream, start, at).await?;
                set_left(tx, id, 0).await?;
            }
        }
        save(tx, id, stream, attempt, &position).await?;
    }
    Ok(())
}

/// How far an attempt's output has come, and how much of it may still be kept.
///
/// # Errors
/// If the database fails.
pub async fn log_position(
    store: &Store,
    id: RunId,
    attempt: u32,
    stream: LogStream,
) -> Result<LogPosition> {
    store
        .read((id, attempt, stream), |tx, input| {
            let (id, attempt, stream) = *input;
            Box::pin(async move {
                let (found, cut) = match find(tx, id, attempt, stream).await? {
                    Some(found) => (found.clone(), found.cut),
                    None => {
                        let last = find_last(tx, id, stream).await?;
                        (Position::default(), last.and_then(|last| last.cut))
                    }
                };
                Ok(LogPosition {
                    received_bytes: found.received,
                    left_bytes: if cut.is_some() {
                        0
                    } else {
                        left(tx, id).await?
                    },
                    tail: found.tail,
                })
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
