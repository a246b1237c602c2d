//! The records of a session that is copied.

use helmr_domain::{RecordId, RunId, SessionId};

use super::{Copying, Records};
use crate::Result;
use crate::db::{Tx, params, sql};

/// Looked through in pieces of this size.
const PIECE: u64 = 500;

sql! {
    AFTER = "SELECT id, position
        FROM stream_records
        WHERE session_id = $1 AND position > $2
        ORDER BY position
        LIMIT $3";

    COPY = "INSERT INTO stream_records (
            session_id, direction, stream, sequence, id, organization_id, project_id,
            environment_id, run_id, data, correlation_id, content_type, idempotency_key,
            created_at, position, started_run_id
        )
        SELECT $2, direction, stream, sequence, $3, organization_id, project_id, environment_id,
            CASE WHEN run_id = $4 THEN CAST($5 AS TEXT) ELSE run_id END, data, correlation_id,
            content_type, idempotency_key, created_at, position,
            CASE WHEN started_run_id = $4 THEN CAST($5 AS TEXT) ELSE started_run_id END
        FROM stream_records
        WHERE id = $1";
}

/// Copies them, in their places. `runs`: the run that wrote some of them, and its copy.
pub(super) async fn copy(
    tx: &mut Tx,
    copying: &mut Copying,
    (from, to): (SessionId, SessionId),
    runs: Option<(RunId, RunId)>,
) -> Result<Records> {
    let (run, copy) = runs.unzip();
    let mut records = Records::new();
    let mut position: u64 = 0;
    loop {
        let found = tx.rows(&AFTER, params![from, position, PIECE]).await?;
        if found.is_empty() {
            return Ok(records);
        }
        for mut row in found {
            let original: RecordId = row.take("id")?;
            position = row.take("position")?;
            let id = copying.ids.make(RecordId::new);
            let bound = params![original, to, id, run, copy];
            tx.run(&COPY, bound).await?;
            records.insert(original, id);
        }
    }
}
