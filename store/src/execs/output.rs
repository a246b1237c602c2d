//! What execs print: sealed pieces by offset, the newest of them kept.

use helmr_domain::{ProcessId, Scope, limits};

use super::{Exec, Stream, Window, row};
use crate::db::{Row, Tx, params, sql};
use crate::{Hint, Result, Store};

/// A sealed piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    pub offset: u64,
    pub size_bytes: u64,
    pub sealed: Vec<u8>,
}

/// Part of an exec's output.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The first may begin before the offset that was asked for.
    pub pieces: Vec<Piece>,
    pub window: Window,
    /// Nothing more is printed.
    pub ended: bool,
}

sql! {
    INSERT = "INSERT INTO exec_output (exec_id, stream, start_offset, size_bytes, sealed)
        VALUES ($1, $2, $3, $4, $5)";

    /// Answers where what is kept begins now.
    DROP_BEFORE = "DELETE FROM exec_output
        WHERE exec_id = $1 AND stream = $2 AND start_offset + size_bytes <= $3";

    FIRST = "SELECT MIN(start_offset) AS start
        FROM exec_output
        WHERE exec_id = $1 AND stream = $2";

    PIECES = "SELECT start_offset, size_bytes, sealed
        FROM exec_output
        WHERE exec_id = $1 AND stream = $2 AND start_offset >= COALESCE((
                SELECT MAX(start_offset)
                FROM exec_output
                WHERE exec_id = $1 AND stream = $2 AND start_offset <= $3
            ), 0)
        ORDER BY start_offset
        LIMIT $4";

    SET_STDOUT = "UPDATE execs
        SET stdout_start = $2, stdout_bytes = $3
        WHERE id = $1";

    SET_STDERR = "UPDATE execs
        SET stderr_start = $2, stderr_bytes = $3
        WHERE id = $1";
}

/// Keeps a piece behind what is there, and drops what the window has left behind.
pub(super) async fn append(
    tx: &mut Tx,
    exec: &mut Exec,
    stream: Stream,
    piece: &Piece,
) -> Result<()> {
    let name = stream.as_str();
    let bound = params![exec.id, name, piece.offset, piece.size_bytes, piece.sealed];
    tx.run(&INSERT, bound).await?;
    let end = piece.offset + piece.size_bytes;
    let mut start = exec.window(stream).start;
    let keep_from = end.saturating_sub(limits::EXEC_WINDOW_BYTES);
    if keep_from > start {
        let dropped = tx
            .run(&DROP_BEFORE, params![exec.id, name, keep_from])
            .await?;
        if dropped > 0 {
            let first: Option<u64> = tx
                .one(&FIRST, params![exec.id, name])
                .await?
                .take("start")?;
            start = first.unwrap_or(end);
        }
    }
    let set = match stream {
        Stream::Stdout => &SET_STDOUT,
        Stream::Stderr => &SET_STDERR,
    };
    tx.run(set, params![exec.id, start, end]).await?;
    match stream {
        Stream::Stdout => exec.stdout = Window { start, end },
        Stream::Stderr => exec.stderr = Window { start, end },
    }
    tx.hint(Hint::Process(exec.id));
    Ok(())
}

/// Reads an exec's output from an offset on, which may be behind its end.
///
/// # Errors
/// `NotFound`.
pub async fn read_output(
    store: &Store,
    scope: Scope,
    id: impl Into<ProcessId>,
    stream: Stream,
    offset: u64,
    limit: u32,
) -> Result<Output> {
    store
        .read((scope, id.into(), stream, offset, limit), |tx, input| {
            let (scope, id, stream, offset, limit) = *input;
            Box::pin(async move {
                let exec = row::find_in(tx, scope, id)
                    .await?
                    .ok_or_else(|| row::missing(id))?;
                let bound = params![id, stream.as_str(), offset, limit];
                let found = tx.rows(&PIECES, bound).await?;
                let pieces = found
                    .into_iter()
                    .map(read_piece)
                    .collect::<Result<Vec<_>>>()?;
                Ok(Output {
                    pieces: pieces
                        .into_iter()
                        .filter(|piece| piece.offset + piece.size_bytes > offset)
                        .collect(),
                    window: exec.window(stream),
                    ended: exec.state.is_final(),
                })
            })
        })
        .await
}

pub(super) fn read_piece(mut row: Row) -> Result<Piece> {
    Ok(Piece {
        offset: row.take("start_offset")?,
        size_bytes: row.take("size_bytes")?,
        sealed: row.take("sealed")?,
    })
}
