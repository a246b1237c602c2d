//! What workers report of execs. A report may come again.

use helmr_domain::exec::{Command, End};
use helmr_domain::{EnvironmentId, Moment, ProcessId, Refusal, WorkspaceId};

use super::change::apply;
use super::output::Piece;
use super::{Exec, Stream, input, output, row};
use crate::db::Tx;
use crate::worker::Fence;
use crate::{Error, Result, Store, lease, machine};

/// An exec under a worker's lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fenced {
    pub lease: Fence,
    pub exec: ProcessId,
}

/// What a process printed, each stream in order.
#[derive(Debug, Clone)]
pub struct AppendOutput {
    pub fence: Fenced,
    pub pieces: Vec<(Stream, Piece)>,
}

pub(super) async fn fenced(tx: &mut Tx, fence: Fenced) -> Result<Exec> {
    lease::check(tx, fence.lease).await?;
    row::find(tx, fence.exec)
        .await?
        .filter(|exec| exec.workspace_id == fence.lease.workspace_id)
        .ok_or(Error::Stale)
}

/// Where an exec belongs, and how far each of its streams has come.
///
/// # Errors
/// `Stale`.
pub async fn place_of(store: &Store, fence: Fenced) -> Result<(EnvironmentId, Exec)> {
    store
        .read(fence, |tx, fence| {
            Box::pin(async move {
                let exec = fenced(tx, *fence).await?;
                Ok((exec.scope.environment, exec))
            })
        })
        .await
}

/// Its process runs.
///
/// # Errors
/// `Stale`.
pub async fn started(store: &Store, fence: Fenced, at: Moment) -> Result<()> {
    transition(store, fence, Command::Start, at).await
}

/// Its process is gone, and everything that it printed is kept.
///
/// # Errors
/// `Stale`.
pub async fn ended(store: &Store, fence: Fenced, end: End, at: Moment) -> Result<()> {
    transition(store, fence, Command::End(end), at).await
}

async fn transition(store: &Store, fence: Fenced, command: Command, at: Moment) -> Result<()> {
    store
        .write((fence, command, at), |tx, input| {
            Box::pin(async move {
                let (fence, command, at) = input;
                let mut exec = fenced(tx, *fence).await?;
                apply(tx, &mut exec, command.clone(), *at).await?;
                touch(tx, exec.workspace_id).await
            })
        })
        .await
}

/// Something in the machine may have written to the workspace's files.
async fn touch(tx: &mut Tx, workspace: WorkspaceId) -> Result<()> {
    machine::touch(tx, workspace).await
}

/// Keeps pieces of output. One that was kept before changes nothing.
///
/// # Errors
/// `Stale`; `Refused(LogOutOfStep)` with the offset that is expected.
pub async fn append_output(store: &Store, input: AppendOutput) -> Result<()> {
    store
        .write(input, |tx, input| {
            Box::pin(async move {
                let mut exec = fenced(tx, input.fence).await?;
                for (stream, piece) in &input.pieces {
                    let there = exec.window(*stream).end;
                    if piece.offset + piece.size_bytes <= there {
                        continue;
                    }
                    if piece.offset != there {
                        return Err(Refusal::LogOutOfStep { expected: there }.into());
                    }
                    output::append(tx, &mut exec, *stream, piece).await?;
                }
                Ok(())
            })
        })
        .await
}

/// Its process has taken so much of its input.
///
/// # Errors
/// `Stale`.
pub async fn input_taken(store: &Store, fence: Fenced, taken: u64, closed: bool) -> Result<()> {
    store
        .write((fence, taken, closed), |tx, input| {
            let (fence, taken, closed) = *input;
            Box::pin(async move {
                let exec = fenced(tx, fence).await?;
                input::take(tx, exec, taken, closed).await
            })
        })
        .await
}
