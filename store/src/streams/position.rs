//! What a session has read of its input.

use helmr_domain::stream::Direction;
use helmr_domain::wait::{Kind, Record as Consumed};
use helmr_domain::{Refusal, SessionId, StreamName, TaskRowId};

use super::Record;
use super::row::{self, After};
use crate::db::{PIECE_BYTES, Tx};
use crate::wait::{WaitRow, claimed_records};
use crate::{Result, runs};

/// Unread records are looked through in pieces of this size.
const PIECE: u64 = 64;

/// Marks the record that a wait's outcome carried as read, for its session and its run.
pub(crate) async fn consume(tx: &mut Tx, wait: &WaitRow, record: Consumed) -> Result<()> {
    let Kind::Stream { stream, .. } = &wait.wait.kind else {
        return Ok(());
    };
    let (mut positions, _) = row::positions(tx, wait.session, stream).await?;
    if positions.consume(record.sequence) {
        row::save_positions(tx, wait.session, stream, &positions).await?;
        runs::count_consumed(tx, wait.run).await?;
    }
    Ok(())
}

/// Marks the record that a wait's outcome carried as unread again, for its session and its run.
pub(crate) async fn give_back(tx: &mut Tx, wait: &WaitRow, record: Consumed) -> Result<()> {
    let Kind::Stream { stream, .. } = &wait.wait.kind else {
        return Ok(());
    };
    let (mut positions, _) = row::positions(tx, wait.session, stream).await?;
    if positions.give_back(record.sequence) {
        row::save_positions(tx, wait.session, stream, &positions).await?;
        runs::count_given_back(tx, wait.run).await?;
    }
    Ok(())
}

/// Whether anything that was sent to a session is unread.
pub(crate) async fn has_unread(tx: &mut Tx, session: SessionId) -> Result<bool> {
    let all = row::all_positions(tx, session).await?;
    Ok(all
        .iter()
        .any(|(positions, last)| positions.has_unread(*last)))
}

/// The first unread record that a wait may take: one that matches and is not on its way to another wait.
///
/// # Errors
/// `Refused(StreamUnknown)` if the task does not declare the stream.
pub(crate) async fn next_unread(
    tx: &mut Tx,
    task: TaskRowId,
    session: SessionId,
    stream: &StreamName,
    correlation: Option<&str>,
) -> Result<Option<Record>> {
    if !row::is_declared(tx, task, Direction::Input, stream).await? {
        let stream = stream.to_string();
        return Err(Refusal::StreamUnknown { stream }.into());
    }
    let claimed = claimed_records(tx, session, stream).await?;
    let found = unread(tx, session, stream, correlation, 1, &claimed).await?;
    Ok(found.into_iter().next())
}

/// Up to `limit` unread records, ascending, without those in `besides`.
pub(super) async fn unread(
    tx: &mut Tx,
    session: SessionId,
    stream: &StreamName,
    correlation: Option<&str>,
    limit: usize,
    besides: &[u64],
) -> Result<Vec<Record>> {
    let (positions, last) = row::positions(tx, session, stream).await?;
    let mut found = Vec::new();
    let mut sequence = positions.lowest_unread() - 1;
    let mut room = PIECE_BYTES;
    let mut full = false;
    while sequence < last && found.len() < limit && (!full || found.is_empty()) {
        let which = After {
            session,
            direction: Direction::Input,
            stream,
            correlation,
            sequence,
            limit: PIECE,
        };
        let piece = row::after(tx, which, room).await?;
        full = piece.cut;
        let Some(end) = piece.records.last() else {
            break;
        };
        sequence = end.sequence;
        found.extend(piece.records.into_iter().filter(|record| {
            positions.is_unread(record.sequence) && !besides.contains(&record.sequence)
        }));
        // Records that are read already do not count: they are passed over.
        room = if found.is_empty() {
            PIECE_BYTES
        } else {
            piece.left_bytes
        };
    }
    found.truncate(limit);
    Ok(found)
}
