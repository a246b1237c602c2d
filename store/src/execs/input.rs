//! What execs are given to read: sealed pieces by offset, until they are taken.

use helmr_domain::{ExecId, Moment, Refusal, Scope, limits};

use super::output::{Piece, read_piece};
use super::report::Fenced;
use super::{Exec, Stdin, report, row};
use crate::db::{Tx, params, sql};
use crate::{Error, Hint, Result, Store, outbox};

/// A piece of input.
#[derive(Debug, Clone)]
pub struct WriteInput {
    pub at: Moment,
    pub scope: Scope,
    pub exec: ExecId,
    pub piece: Piece,
    /// Nothing comes behind it.
    pub close: bool,
}

/// Part of an exec's input, for its worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub exec: Exec,
    /// The first may begin before the offset that was asked for.
    pub pieces: Vec<Piece>,
}

sql! {
    INSERT = "INSERT INTO exec_input (exec_id, start_offset, size_bytes, sealed)
        VALUES ($1, $2, $3, $4)";

    PIECES = "SELECT start_offset, size_bytes, sealed
        FROM exec_input
        WHERE exec_id = $1 AND start_offset + size_bytes > $2
        ORDER BY start_offset
        LIMIT 4";

    DROP_BEFORE = "DELETE FROM exec_input
        WHERE exec_id = $1 AND start_offset + size_bytes <= $2";

    SET = "UPDATE execs
        SET stdin_bytes = $2, stdin_taken = $3, stdin_closed = $4
        WHERE id = $1";
}

/// Gives an exec a piece of input. One that it was given before changes nothing.
///
/// # Errors
/// `NotFound`; `Refused`: `ExecInputOutOfStep` with the offset that is expected, `ExecInputFull`, `ExecInputClosed`.
pub async fn write_input(store: &Store, input: WriteInput) -> Result<Exec> {
    store
        .write(input, |tx, input| Box::pin(write_in(tx, input)))
        .await
}

async fn write_in(tx: &mut Tx, input: &WriteInput) -> Result<Exec> {
    let mut exec = row::find_in(tx, input.scope, input.exec)
        .await?
        .ok_or(Error::NotFound("exec"))?;
    let piece = &input.piece;
    let end = piece.offset + piece.size_bytes;
    if end <= exec.stdin.end && (exec.stdin.closed || !input.close) {
        return Ok(exec);
    }
    if exec.state.is_final() || exec.stdin.closed {
        return Err(Refusal::ExecInputClosed.into());
    }
    if piece.offset != exec.stdin.end {
        let expected = exec.stdin.end;
        return Err(Refusal::ExecInputOutOfStep { expected }.into());
    }
    if end - exec.stdin.taken > limits::EXEC_INPUT_BYTES {
        return Err(Refusal::ExecInputFull.into());
    }
    if piece.size_bytes > 0 {
        let bound = params![exec.id, piece.offset, piece.size_bytes, piece.sealed];
        tx.run(&INSERT, bound).await?;
    }
    exec.stdin = Stdin {
        end,
        closed: input.close,
        ..exec.stdin
    };
    save(tx, &exec).await?;
    outbox::mark(tx, exec.workspace_id, input.at).await?;
    Ok(exec)
}

async fn save(tx: &mut Tx, exec: &Exec) -> Result<()> {
    let Stdin { end, taken, closed } = exec.stdin;
    tx.run(&SET, params![exec.id, end, taken, closed]).await?;
    tx.hint(Hint::Exec(exec.id));
    Ok(())
}

/// Reads what a worker is to pass on.
///
/// # Errors
/// `Stale`.
pub async fn read_input(store: &Store, fence: Fenced, offset: u64) -> Result<Input> {
    store
        .read((fence, offset), |tx, input| {
            let (fence, offset) = *input;
            Box::pin(async move {
                let exec = report::fenced(tx, fence).await?;
                let found = tx.rows(&PIECES, params![exec.id, offset]).await?;
                let pieces = found
                    .into_iter()
                    .map(read_piece)
                    .collect::<Result<Vec<_>>>()?;
                Ok(Input { exec, pieces })
            })
        })
        .await
}

/// Notes how much a process has taken. `closed`: it takes no more.
pub(super) async fn take(tx: &mut Tx, mut exec: Exec, taken: u64, closed: bool) -> Result<()> {
    exec.stdin.taken = exec.stdin.taken.max(taken.min(exec.stdin.end));
    exec.stdin.closed |= closed;
    let gone = if closed {
        u64::MAX >> 1
    } else {
        exec.stdin.taken
    };
    tx.run(&DROP_BEFORE, params![exec.id, gone]).await?;
    save(tx, &exec).await
}
