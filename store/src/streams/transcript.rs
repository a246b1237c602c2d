//! The transcript of a session: the records of all its streams, in the order in which they came.

use helmr_domain::stream::Direction;
use helmr_domain::{Scope, SessionId, StreamName};

use super::Record;
use super::row::{Piece, columns};
use crate::db::{PIECE_BYTES, params, sql};
use crate::{Error, Page, Result, Store, sessions};

sql! {
    TRANSCRIPT = concat!("SELECT ", columns!(), "
        FROM stream_records
        WHERE session_id = $1 AND position > $2
            AND (CAST($3 AS TEXT) IS NULL OR direction = $3)
            AND (CAST($4 AS TEXT) IS NULL OR stream = $4)
            AND (CAST($5 AS TEXT) IS NULL OR correlation_id = $5)
        ORDER BY position
        LIMIT $6");
}

/// Which records of a session.
#[derive(Debug, Clone)]
pub struct ListTranscript {
    pub session: SessionId,
    pub direction: Option<Direction>,
    pub stream: Option<StreamName>,
    pub correlation_id: Option<String>,
    /// Positions above it.
    pub after: u64,
    pub limit: u32,
}

/// Lists records of all streams by position, ascending.
///
/// # Errors
/// `NotFound` if there is no such session.
pub async fn transcript(
    store: &Store,
    scope: Scope,
    input: ListTranscript,
) -> Result<Page<Record, u64>> {
    store
        .read((scope, input), |tx, (scope, input)| {
            Box::pin(async move {
                sessions::find(tx, input.session)
                    .await?
                    .filter(|found| found.session.scope == *scope)
                    .ok_or(Error::NotFound("session"))?;
                let bound = params![
                    input.session,
                    input.after,
                    input.direction.map(Direction::as_str),
                    input.stream,
                    input.correlation_id,
                    u64::from(input.limit) + 1
                ];
                let found = tx.rows_within(&TRANSCRIPT, bound, PIECE_BYTES).await?;
                let piece = Piece::of(found)?;
                Ok(Page::cut_within(
                    piece.records,
                    input.limit,
                    piece.cut,
                    |record| record.position,
                ))
            })
        })
        .await
}
