//! What execs are given to read: sealed pieces by offset, until they are taken.

use helmr_domain::{Moment, ProcessId, Refusal, Scope, limits, pty};

use super::output::{Piece, read_piece};
use super::report::Fenced;
use super::{Exec, Stdin, report, row};
use crate::db::{Tx, params, sql};
use crate::{Hint, Result, Store, outbox};

/// A piece of input.
#[derive(Debug, Clone)]
pub struct WriteInput {
    pub at: Moment,
    pub scope: Scope,
    pub exec: ProcessId,
    pub place: Place,
    pub size_bytes: u64,
    pub sealed: Vec<u8>,
    /// Nothing comes behind it.
    pub close: bool,
}

/// Where a piece of input belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At this offset, so that it may be given again.
    At(u64),
    /// Behind whatever was given before.
    Behind,
}

/// Part of an exec's input, for its worker.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub exec: Exec,
    /// The first may begin before the offset that was asked for.
    pub pieces: Vec<Piece>,
}

impl Input {
    /// Whether nothing comes behind `reached`: all was given, or its process takes no more and what waited is gone.
    #[must_use]
    pub fn ends_at(&self, reached: u64) -> bool {
        let stdin = self.exec.stdin;
        stdin.closed && (reached >= stdin.end || self.pieces.is_empty())
    }
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
        .ok_or_else(|| row::missing(input.exec))?;
    let offset = match input.place {
        Place::At(offset) => offset,
        Place::Behind => exec.stdin.end,
    };
    let end = offset + input.size_bytes;
    if end <= exec.stdin.end && (exec.stdin.closed || !input.close) {
        return Ok(exec);
    }
    if exec.state.is_final() || exec.stdin.closed {
        return Err(Refusal::ExecInputClosed.into());
    }
    if offset != exec.stdin.end {
        let expected = exec.stdin.end;
        return Err(Refusal::ExecInputOutOfStep { expected }.into());
    }
    if end - exec.stdin.taken > limits::EXEC_INPUT_BYTES {
        return Err(Refusal::ExecInputFull.into());
    }
    if input.size_bytes > 0 {
        let bound = params![exec.id, offset, input.size_bytes, input.sealed];
        tx.run(&INSERT, bound).await?;
    }
    exec.stdin = Stdin {
        end,
        closed: input.close,
        ..exec.stdin
    };
    save(tx, &exec).await?;
    outbox::mark(tx, exec.workspace_id, input.at).await?;
    super::pty::apply(tx, &mut exec, pty::Command::Type, input.at).await?;
    Ok(exec)
}

async fn save(tx: &mut Tx, exec: &Exec) -> Result<()> {
    let Stdin { end, taken, closed } = exec.stdin;
    tx.run(&SET, params![exec.id, end, taken, closed]).await?;
    tx.hint(Hint::Process(exec.id));
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
