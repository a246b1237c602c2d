//! Log entries of tasks, kept as events.

use helmr_domain::{Event, EventKind, RunId};

use super::{AppendEntries, transition};
use crate::db::{Tx, params, sql};
use crate::{Result, Store, events};

sql! {
    SET_ENTRIES = "UPDATE runs
        SET entries = $2
        WHERE id = $1";

    COUNT_CONSUMED = "UPDATE runs
        SET consumed = consumed + 1
        WHERE id = $1";

    COUNT_GIVEN_BACK = "UPDATE runs
        SET consumed = consumed - 1
        WHERE id = $1 AND consumed > 0";
}

/// Keeps log entries as events of the run.
///
/// # Errors
/// `Stale`.
pub async fn append_entries(store: &Store, input: AppendEntries) -> Result<()> {
    store
        .write(input, |tx, input| Box::pin(append_in(tx, input)))
        .await
}

async fn append_in(tx: &mut Tx, input: &AppendEntries) -> Result<()> {
    let run = transition::told_of(tx, input.fence).await?;
    let mut about = run.about();
    about.attempt = Some(input.fence.attempt);
    let mut kept = run.entries;
    for entry in &input.entries {
        // Told before.
        if entry.index <= kept {
            continue;
        }
        kept = entry.index;
        let mut event = Event::new(EventKind::Log)
            .with("level", entry.level.as_str())
            .with("message", entry.message.as_str())
            .with("logged_at", entry.logged_at.to_rfc3339());
        if let Some(fields) = &entry.fields {
            event = event.with("fields", fields.clone());
        }
        events::append(tx, about, event, input.at).await?;
    }
    if kept != run.entries {
        tx.run(&SET_ENTRIES, params![run.run.id, kept]).await?;
    }
    Ok(())
}

/// Notes that a run has read a record.
pub(crate) async fn count_consumed(tx: &mut Tx, run: RunId) -> Result<()> {
    tx.run(&COUNT_CONSUMED, params![run]).await.map(drop)
}

/// Notes that a run has not read a record after all.
pub(crate) async fn count_given_back(tx: &mut Tx, run: RunId) -> Result<()> {
    tx.run(&COUNT_GIVEN_BACK, params![run]).await.map(drop)
}
