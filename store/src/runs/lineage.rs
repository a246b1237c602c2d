//! Which runs are copies of which.

use helmr_domain::RunId;

use crate::Result;
use crate::db::{Tx, params, sql};

sql! {
    FORKED_FROM = "SELECT forked_from
        FROM runs
        WHERE id = $1";
}

/// Whether `run` is a copy of `original`, or a copy of a copy of it.
pub(crate) async fn is_fork_of(tx: &mut Tx, run: RunId, original: RunId) -> Result<bool> {
    let mut at = run;
    while let Some(mut row) = tx.find(&FORKED_FROM, params![at]).await? {
        let from: Option<RunId> = row.take("forked_from")?;
        match from {
            Some(from) if from == original => return Ok(true),
            Some(from) => at = from,
            None => return Ok(false),
        }
    }
    Ok(false)
}
